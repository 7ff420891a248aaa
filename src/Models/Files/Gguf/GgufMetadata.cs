using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Gguf;

/// <summary>Typed access to the metadata of a GGUF file.</summary>
internal sealed class GgufMetadata(IReadOnlyDictionary<string, object> values, string path)
{
    /// <summary>general.architecture: "llama"</summary>
    public string Architecture => Text("general.architecture") ?? throw Missing("general.architecture");

    public string Path => path;

    /// <summary>Whether there is a value.</summary>
    public bool Has(string key) => values.ContainsKey(key);

    public string? Text(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        string text => text,
        var other => throw Invalid(key, "a text", other),
    };

    /// <summary>A whole number. A list with a number for each layer counts as one if they are equal.</summary>
    public long? Integer(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        long number => number,
        List<object> { Count: > 0 } list when list[0] is long first && list.TrueForAll(item => item is long number && number == first) =>
            first,
        var other => throw Invalid(key, "one whole number for all layers", other),
    };

    public double? Real(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        double number => number,
        long number => number,
        var other => throw Invalid(key, "a number", other),
    };

    public bool? Flag(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        bool flag => flag,
        var other => throw Invalid(key, "true or false", other),
    };

    /// <summary>A list of texts, or null.</summary>
    public List<string>? Texts(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        List<object> list when list.TrueForAll(item => item is string) => list.ConvertAll(item => (string)item),
        var other => throw Invalid(key, "a list of texts", other),
    };

    /// <summary>A list of numbers, or null.</summary>
    public List<double>? Reals(string key) => values.GetValueOrDefault(key) switch
    {
        null => null,
        List<object> list when list.TrueForAll(item => item is double or long) =>
            list.ConvertAll(item => item is long number ? number : (double)item),
        var other => throw Invalid(key, "a list of numbers", other),
    };

    /// <summary>The key of the architecture: "block_count" is "llama.block_count".</summary>
    public string Key(string name) => $"{Architecture}.{name}";

    /// <summary>A size or count of the architecture.</summary>
    public long Size(string name) => Integer(Key(name)) switch
    {
        null => throw Missing(Key(name)),
        > 0 and <= int.MaxValue and var size => size,
        var other => throw Invalid(Key(name), "a positive number", other),
    };

    public Exception Missing(string key) => Errors.CreateException(ErrorCode.BadCheckpoint, $"{path} has no `{key}` in its metadata.",
        Errors.DidYouMean(key, values.Keys));

    private Exception Invalid(string key, string expected, object value) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{path}: the metadata `{key}` must be {expected}, not {(value is List<object> list ? $"a list of {list.Count}" : value)}.");
}
