namespace Ndif.Tokenizers.Decoders;

/// <summary>One decoder after the other.</summary>
internal sealed class SequenceDecoder(IDecoder[] decoders) : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        long most = GetLengthLimit(tokens);
        foreach (var decoder in decoders)
        {
            tokens = decoder.Decode(tokens);
            if (Length(tokens) > most) throw TooLong(most);
        }
        return tokens;
    }

    /// <summary>How long the text of tokens may become: decoders of real files hardly lengthen it.</summary>
    public static long GetLengthLimit(List<string> tokens) => 65_536 + 16 * Length(tokens);

    public static TokenizerFormatException TooLong(long limit) =>
        new("tokenizer.json: decoder", $"it makes a text longer than {limit} characters of tokens much shorter");

    static long Length(List<string> tokens) => tokens.Sum(token => (long)token.Length + 1);
}
