using System.Text.Json;
using Ndif.Protocol;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Config;

/// <summary>
/// Typed access to a JSON file of Hugging Face. A key that is absent or null has the default of the corresponding class in
/// transformers. A value of the wrong type is an error that names the key and the file.
/// </summary>
public sealed class ConfigReader
{
    private readonly JsonElement _json;
    private readonly string _prefix;

    private ConfigReader(JsonElement json, string file, string prefix) => (_json, File, _prefix) = (json, file, prefix);

    /// <summary>The path of the file, for error messages.</summary>
    public string File { get; }

    /// <summary>All keys.</summary>
    public IEnumerable<string> Keys => _json.EnumerateObject().Select(p => p.Name);

    public static ConfigReader Open(string path)
    {
        if (!System.IO.File.Exists(path))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} is missing.",
                "A model folder needs config.json beside its weights.");
        return Parse(System.IO.File.ReadAllBytes(path), path);
    }

    public static ConfigReader Parse(ReadOnlyMemory<byte> json, string file)
    {
        if (!System.Text.Unicode.Utf8.IsValid(json.Span))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{file} is not UTF-8 text, as JSON is.");
        json = PythonJson.ToJson(json);
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new() { CommentHandling = JsonCommentHandling.Skip });
            if (document.RootElement.ValueKind == JsonValueKind.Object)
            {
                CheckStrings(json.Span);
                return new ConfigReader(document.RootElement.Clone(), file, "");
            }
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{file} must hold a JSON object, not {Describe(document.RootElement)}.");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{file} is not JSON: {e.Message}", inner: e);
        }
    }

    /// <summary>
    /// Rejects an escaped lone surrogate, which is valid JSON and not valid text. It is reported here instead of where the string is
    /// read.
    /// </summary>
    /// <exception cref="InvalidOperationException">The file contains a lone surrogate.</exception>
    private static void CheckStrings(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = new(json, new() { CommentHandling = JsonCommentHandling.Skip });
        while (reader.Read())
            if (reader.TokenType is JsonTokenType.PropertyName or JsonTokenType.String && reader.ValueIsEscaped) _ = reader.GetString();
    }

    /// <summary>This object with another value of a flag.</summary>
    public ConfigReader With(string key, bool value) => With(key, value ? "true" : "false");

    /// <summary>This object with another value of a number.</summary>
    public ConfigReader With(string key, int value) => With(key, value.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private ConfigReader With(string key, string value)
    {
        // a later property replaces an earlier one of the same name
        string json = $"{_json.GetRawText().TrimEnd()[..^1]}{(Keys.Any() ? "," : "")} \"{key}\": {value}}}";
        using JsonDocument document = JsonDocument.Parse(json, new() { CommentHandling = JsonCommentHandling.Skip });
        return new ConfigReader(document.RootElement.Clone(), File, _prefix);
    }

    /// <summary>Whether the key is present and not null.</summary>
    public bool Has(string key) => Find(key) is not null;

    /// <summary>Whether the key is present and null. That differs from an absent key where the default is not null.</summary>
    public bool IsNull(string key) => _json.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Null;

    /// <summary>A positive integer: a size or a count.</summary>
    public int Size(string key, int? defaultValue = null)
    {
        long value = Integer(key, defaultValue);
        return value is > 0 and <= int.MaxValue ? (int)value : throw InvalidValue(key, "must be positive", value.ToString());
    }

    /// <summary>A number of parts that a model may lack, or the size of one.</summary>
    public int Count(string key, int? defaultValue = null)
    {
        long value = Integer(key, defaultValue);
        return value is >= 0 and <= int.MaxValue ? (int)value : throw InvalidValue(key, "must not be negative", value.ToString());
    }

    public long Integer(string key, long? defaultValue = null)
    {
        if (Find(key) is not { } value) return defaultValue ?? throw MissingKey(key);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number
            : throw InvalidValue(key, "must be a whole number", Describe(value));
    }

    public double Real(string key, double? defaultValue = null)
    {
        if (Find(key) is not { } value) return defaultValue ?? throw MissingKey(key);
        return value.ValueKind == JsonValueKind.Number ? value.GetDouble() : throw InvalidValue(key, "must be a number", Describe(value));
    }

    public bool Flag(string key, bool? defaultValue = null)
    {
        if (Find(key) is not { } value) return defaultValue ?? throw MissingKey(key);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : throw InvalidValue(key, "must be true or false", Describe(value));
    }

    public string Text(string key, string? defaultValue = null)
    {
        if (Find(key) is not { } value) return defaultValue ?? throw MissingKey(key);
        return value.ValueKind == JsonValueKind.String ? value.GetString()! : throw InvalidValue(key, "must be a text", Describe(value));
    }

    /// <summary>The string, or null if the key is absent or of another type: for keys that are a flag or a name.</summary>
    public string? TextOrNull(string key) => Find(key) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    /// <summary>Whether the value is not empty: a non-empty string, list or object, true, or a number.</summary>
    public bool IsNonEmpty(string key) => Find(key) is { } value && value.ValueKind switch
    {
        JsonValueKind.Array => value.GetArrayLength() > 0,
        JsonValueKind.Object => value.GetPropertyCount() > 0,
        JsonValueKind.String => value.GetRawText().Length > 2,
        JsonValueKind.False => false,
        _ => true,
    };

    /// <summary>Rejects an option that changes the results and is not supported.</summary>
    /// <param name="why">What this implementation computes instead.</param>
    public void RequireFalse(string key, string why)
    {
        if (Flag(key, false)) throw InvalidValue(key, $"must be false: {why}", "true");
    }

    /// <summary>The number of key and value heads: num_key_value_heads, or the number of heads if it is null.</summary>
    /// <param name="defaultValue">The value if the key is absent.</param>
    public int NumKvHeads(int heads, int defaultValue)
    {
        int kvHeads = IsNull("num_key_value_heads") ? heads : Size("num_key_value_heads", defaultValue);
        return heads % kvHeads == 0 ? kvHeads
            : throw InvalidValue("num_key_value_heads", $"must divide num_attention_heads, {heads}", $"{kvHeads}");
    }

    /// <summary>The value as in the file; null if it is absent.</summary>
    public JsonElement? Raw(string key) => Find(key);

    /// <summary>A list of strings; empty if the key is absent.</summary>
    public IReadOnlyList<string> Texts(string key) =>
        List(key, v => v.ValueKind == JsonValueKind.String ? v.GetString()!
            : throw InvalidValue(key, "must be a list of texts", Describe(v)));

    /// <summary>A list of numbers; empty if the key is absent.</summary>
    public IReadOnlyList<double> Reals(string key) =>
        List(key, v => v.ValueKind == JsonValueKind.Number ? v.GetDouble()
            : throw InvalidValue(key, "must be a list of numbers", Describe(v)));

    /// <summary>Token ids: one number or a list of numbers; empty if the key is absent.</summary>
    public IReadOnlyList<int> Ids(string key)
    {
        if (Find(key) is { ValueKind: not JsonValueKind.Array } one) return [Id(one)];
        return List(key, Id);

        int Id(JsonElement value) => value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int id) ? id
            : throw InvalidValue(key, "must be a token id or a list of them", Describe(value));
    }

    /// <summary>A nested object, or null if the key is absent.</summary>
    public ConfigReader? Section(string key)
    {
        if (Find(key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.Object ? new ConfigReader(value, File, $"{_prefix}{key}.")
            : throw InvalidValue(key, "must be an object", Describe(value));
    }

    /// <summary>The error for a value that is well-formed and not valid.</summary>
    public Exception InvalidValue(string key, string what, string value) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{File}: `{_prefix}{key}` {what}, not {value}.");

    private Exception MissingKey(string key) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{File} has no `{_prefix}{key}`, which this architecture needs.", Errors.DidYouMean(key, Keys));

    private JsonElement? Find(string key) =>
        _json.TryGetProperty(key, out JsonElement value) && value.ValueKind != JsonValueKind.Null ? value : null;

    private List<T> List<T>(string key, Func<JsonElement, T> item)
    {
        if (Find(key) is not { } value) return [];
        return value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray().Select(item)]
            : throw InvalidValue(key, "must be a list", Describe(value));
    }

    private static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "a list",
        _ => value.GetRawText() is { Length: <= 40 } text ? text : "a long text",
    };
}
