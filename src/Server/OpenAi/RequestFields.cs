using System.Text.Json;

namespace Ndif.Server.OpenAi;

/// <summary>
/// The fields of a request body. Each is read with its bounds, and an error names the field; a field that nobody reads is refused, as
/// OpenAI does.
/// </summary>
internal sealed class RequestFields : IDisposable
{
    private static readonly JsonDocumentOptions _options = new() { MaxDepth = 32, AllowDuplicateProperties = false };

    private readonly JsonDocument _document;
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    private RequestFields(JsonDocument document) => _document = document;

    /// <exception cref="OpenAiException">The body is no JSON object.</exception>
    public static RequestFields Parse(ReadOnlyMemory<byte> body)
    {
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(body, _options);
        }
        catch (JsonException broken)
        {
            throw new OpenAiException(
                $"The body of the request is not valid JSON (line {(broken.LineNumber ?? 0) + 1}): "
                + ServerErrors.Truncate(broken.Message, 300), code: "invalid_json");
        }
        catch (InvalidOperationException) // of a name that has half of a surrogate pair
        {
            throw new OpenAiException("The body of the request has text that is not Unicode.", code: "invalid_json");
        }
        if (document.RootElement.ValueKind is JsonValueKind.Object) return new RequestFields(document);
        document.Dispose();
        throw new OpenAiException("The body of the request must be a JSON object.", code: "invalid_json");
    }

    /// <summary>The value of a field; null if it is absent or null.</summary>
    public JsonElement? Find(string name)
    {
        _read.Add(name);
        return _document.RootElement.TryGetProperty(name, out JsonElement value) && value.ValueKind is not JsonValueKind.Null
            ? value : null;
    }

    public JsonElement Require(string name) =>
        Find(name) ?? throw new OpenAiException($"You must provide the parameter `{name}`.", name, "missing_required_parameter");

    public string RequireString(string name) => GetString(Require(name), name);

    public bool GetBoolean(string name) => Find(name) is { } value && (value.ValueKind is JsonValueKind.True or JsonValueKind.False
        ? value.GetBoolean() : throw WrongType(name, "a Boolean"));

    public int? GetInteger(string name, int min, int max) => GetLong(name, min, max) is { } value ? (int)value : null;

    public long? GetLong(string name, long min = long.MinValue, long max = long.MaxValue)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind is not JsonValueKind.Number || !value.TryGetInt64(out long number)) throw WrongType(name, "an integer");
        return number >= min && number <= max ? number : throw OutOfRange(name, value, min, max);
    }

    public double? GetNumber(string name, double min, double max)
    {
        if (Find(name) is not { } value) return null;
        if (value.ValueKind is not JsonValueKind.Number || !value.TryGetDouble(out double number)) throw WrongType(name, "a number");
        return number >= min && number <= max ? number : throw OutOfRange(name, value, min, max);
    }

    /// <summary>Fields that have no effect here.</summary>
    public void Ignore(params ReadOnlySpan<string> names)
    {
        foreach (string name in names) _read.Add(name);
    }

    /// <summary>Fields that would change the result, and are not supported.</summary>
    /// <exception cref="OpenAiException">The request has one of them.</exception>
    public void Refuse(string reason, params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
            if (Find(name) is not null) throw OpenAiException.Unsupported(name, $"`{name}` is not supported: {reason}");
    }

    /// <exception cref="OpenAiException">The request has a field that was not read.</exception>
    public void ThrowIfUnknown()
    {
        foreach (JsonProperty field in _document.RootElement.EnumerateObject())
            if (!_read.Contains(field.Name))
            {
                string name = ServerErrors.Truncate(field.Name);
                throw new OpenAiException($"Unrecognized request argument supplied: {name}", name, "unknown_parameter");
            }
    }

    public static string GetString(JsonElement value, string name)
    {
        if (value.ValueKind is not JsonValueKind.String) throw WrongType(name, "a string");
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw OpenAiException.Invalid(name, $"`{name}` has a character that is no Unicode text.");
        }
    }

    public static OpenAiException WrongType(string name, string expected) =>
        new($"Invalid type for `{name}`: expected {expected}.", name, "invalid_type");

    public void Dispose() => _document.Dispose();

    private static OpenAiException OutOfRange<T>(string name, JsonElement value, T min, T max) =>
        OpenAiException.Invalid(
            name, FormattableString.Invariant(
                $"Invalid value for `{name}`: {ServerErrors.Truncate(value.GetRawText())} is not between {min} and {max}."));
}
