using System.Text.Json;

namespace Ndif.Dictionaries;

/// <summary>The values of cfg.json, at its root or in its metadata.</summary>
internal readonly struct SaeLensConfig(JsonElement root)
{
    /// <exception cref="FormatException">It is not a text.</exception>
    public string? GetText(string name) => Find(name) switch
    {
        null or { ValueKind: JsonValueKind.True or JsonValueKind.False } => null,
        { ValueKind: JsonValueKind.String } text => text.GetString(),
        _ => throw new FormatException($"`{name}` is not a text."),
    };

    /// <exception cref="FormatException">It is not a number.</exception>
    public double? GetNumber(string name) => Find(name) switch
    {
        null => null,
        { ValueKind: JsonValueKind.Number } number => number.GetDouble(),
        _ => throw new FormatException($"`{name}` is not a number."),
    };

    /// <exception cref="FormatException">It is neither true nor false.</exception>
    public bool GetFlag(string name, bool otherwise) => Find(name) switch
    {
        null or { ValueKind: JsonValueKind.String } => otherwise,
        { ValueKind: JsonValueKind.True } => true,
        { ValueKind: JsonValueKind.False } => false,
        _ => throw new FormatException($"`{name}` is neither true nor false."),
    };

    /// <exception cref="FormatException">It is missing, or not a size.</exception>
    public int GetSize(string name) => ToSize(name, Find(name));

    /// <summary>The k of top-k; before version 6 of SAELens it is an argument of the activation.</summary>
    /// <exception cref="FormatException">It is missing, or not a size.</exception>
    public int GetK() => Find("k") is { } k ? ToSize("k", k)
        : Find("activation_fn_kwargs") is { ValueKind: JsonValueKind.Object } arguments
            ? ToSize("k", arguments.TryGetProperty("k", out JsonElement argument) ? argument : null)
            : ToSize("k", null);

    private static int ToSize(string name, JsonElement? value) =>
        value is { ValueKind: JsonValueKind.Number } number && number.TryGetInt32(out int size) && size > 0 ? size
            : throw new FormatException($"`{name}` is {(value is null ? "missing" : $"{value}, not a positive whole number")}.");

    private JsonElement? Find(string name)
    {
        if (root.ValueKind is not JsonValueKind.Object) throw new FormatException("It is not an object.");
        if (root.TryGetProperty(name, out JsonElement value) && value.ValueKind is not JsonValueKind.Null) return value;
        return root.TryGetProperty("metadata", out JsonElement metadata) && metadata.ValueKind is JsonValueKind.Object
            && metadata.TryGetProperty(name, out value) && value.ValueKind is not JsonValueKind.Null ? value : null;
    }
}
