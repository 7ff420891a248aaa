using System.Collections;
using System.Globalization;
using System.Numerics;
using System.Text.Json;

namespace Ndif.Tokenizers.Chat;

/// <summary>Converts the values that a caller passes to the values of a template.</summary>
internal static class TemplateValueConverter
{
    /// <exception cref="ArgumentException">The value has a type that a template cannot represent.</exception>
    public static object? FromObject(object? value, int depth = 0)
    {
        if (depth > RenderBudget.MaxDepth) throw new ChatTemplateException("a value is nested too deeply");
        return value switch
        {
            null or bool or long or double or string => value,
            sbyte or byte or short or ushort or int or uint => Convert.ToInt64(value, CultureInfo.InvariantCulture),
            ulong large => TemplateNumbers.Normalize(large),
            BigInteger integer => TemplateNumbers.Normalize(integer),
            float or decimal => Convert.ToDouble(value, CultureInfo.InvariantCulture),
            JsonElement json => FromJson(json, depth),
            ChatMessage message => FromMessage(message, depth),
            IReadOnlyDictionary<string, object?> map => FromEntries(map, depth),
            IDictionary<string, object?> map => FromEntries(map, depth),
            IEnumerable items => items.Cast<object?>().Select(item => FromObject(item, depth + 1)).ToList(),
            _ => throw new ArgumentException($"A {value.GetType().Name} cannot be a value of a template. " +
                "Pass strings, numbers, Booleans, and lists and dictionaries of them."),
        };
    }

    private static MappingValue FromEntries(IEnumerable<KeyValuePair<string, object?>> entries, int depth) =>
        new(entries.Select(entry => new KeyValuePair<object?, object?>(entry.Key, FromObject(entry.Value, depth + 1))));

    private static object? FromJson(JsonElement json, int depth) => json.ValueKind switch
    {
        JsonValueKind.Object =>
            FromEntries(json.EnumerateObject().Select(field => new KeyValuePair<string, object?>(field.Name, field.Value)), depth),
        JsonValueKind.Array => json.EnumerateArray().Select(item => FromObject(item, depth + 1)).ToList(),
        JsonValueKind.String => json.GetString(),
        JsonValueKind.Number => FromNumber(json),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    private static object FromNumber(JsonElement json)
    {
        if (json.TryGetInt64(out long integer)) return integer;
        string text = json.GetRawText();
        return text.AsSpan().IndexOfAny(".eE") >= 0 ? json.GetDouble()
            : TemplateNumbers.Normalize(BigInteger.Parse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture));
    }

    private static MappingValue FromMessage(ChatMessage message, int depth)
    {
        MappingValue fields = new([new("role", message.Role), new("content", message.Content)]);
        foreach (var (name, value) in message.AdditionalFields ?? new Dictionary<string, object?>())
            fields[name] = FromObject(value, depth + 1);
        return fields;
    }
}
