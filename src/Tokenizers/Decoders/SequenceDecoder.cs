namespace Ndif.Tokenizers.Decoders;

/// <summary>Applies several decoders in order.</summary>
internal sealed class SequenceDecoder(IDecoder[] decoders) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        long maxLength = GetMaxLength(tokens);
        foreach (var decoder in decoders)
        {
            tokens = decoder.Decode(tokens);
            if (GetLength(tokens) > maxLength) throw CreateTooLongException(maxLength);
        }
        return tokens;
    }

    /// <summary>The length limit of the decoded text. The decoders of published tokenizers hardly lengthen a text.</summary>
    public static long GetMaxLength(List<string> tokens) => 65_536 + 16 * GetLength(tokens);

    public static TokenizerFormatException CreateTooLongException(long maxLength) =>
        new("tokenizer.json: decoder", $"it expands much shorter tokens to more than {maxLength} characters");

    private static long GetLength(List<string> tokens) => tokens.Sum(token => (long)token.Length + 1);
}
