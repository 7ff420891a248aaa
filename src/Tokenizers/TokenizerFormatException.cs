namespace Ndif.Tokenizers;

/// <summary>
/// The exception that is thrown when a tokenizer file or chat template cannot be read, or cannot be applied to the given input.
/// </summary>
/// <remarks><see cref="Exception.Message"/> is "<see cref="Location"/>: <see cref="Reason"/>".</remarks>
public sealed class TokenizerFormatException : Exception
{
    internal TokenizerFormatException(string location, string reason, Exception? inner = null)
        : base($"{location.TrimEnd(' ', ':')}: {reason}", inner)
    {
        Location = location.TrimEnd(' ', ':');
        Reason = reason;
    }

    /// <summary>The file and the JSON path in it, for example <c>tokenizer.json: pre_tokenizer.pretokenizers[0].pattern</c>.</summary>
    public string Location { get; }

    /// <summary>The problem at that location. If a name is unknown, the text suggests the nearest valid name.</summary>
    public string Reason { get; }
}
