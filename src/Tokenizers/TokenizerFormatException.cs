namespace Ndif.Tokenizers;

/// <summary>
/// A tokenizer file says something that cannot be read, or asks for something that cannot be done with the given text.
/// </summary>
public sealed class TokenizerFormatException(string part, string reason, Exception? inner = null)
    : Exception($"{part.TrimEnd(' ', ':')}: {reason}", inner)
{
    /// <summary>Where in which file, such as <c>tokenizer.json: pre_tokenizer.pretokenizers[0].pattern</c>.</summary>
    public string Part { get; } = part.TrimEnd(' ', ':');

    /// <summary>What is wrong there, with the nearest valid name where one is close.</summary>
    public string Reason { get; } = reason;
}
