using System.Collections;
using System.Globalization;
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

    private static Dictionary<string, object?> FromEntries(IEnumerable<KeyValuePair<string, object?>> entries, int depth) =>
        entries.ToDictionary(entry => entry.Key, entry => FromObject(entry.Value, depth + 1), StringComparer.Ordinal);

    private static object? FromJson(JsonElement json, int depth) => json.ValueKind switch
    {
        JsonValueKind.Object => json.EnumerateObject()
            .ToDictionary(field => field.Name, field => FromObject(field.Value, depth + 1), StringComparer.Ordinal),
        JsonValueKind.Array => json.EnumerateArray().Select(item => FromObject(item, depth + 1)).ToList(),
        JsonValueKind.String => json.GetString(),
        JsonValueKind.Number => json.TryGetInt64(out long integer) ? integer : (object)json.GetDouble(),
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => null,
    };

    private static Dictionary<string, object?> FromMessage(ChatMessage message, int depth)
    {
        Dictionary<string, object?> fields = new(StringComparer.Ordinal) { ["role"] = message.Role, ["content"] = message.Content };
        foreach (var (name, value) in message.AdditionalFields ?? new Dictionary<string, object?>())
            fields[name] = FromObject(value, depth + 1);
        return fields;
    }
}
