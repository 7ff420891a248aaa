using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>Excludes leading and trailing white space of a token from its offsets. The ids do not change.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/byte_level.rs, process_offsets</remarks>
internal sealed class TrimOffsetsPostProcessor(Func<int, string?> tokenOf, bool trim, bool addPrefixSpace) : IPostProcessor
{
    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        if (trim)
            foreach (var tokens in sequences)
                for (int i = 0; i < tokens.Count; i++)
                    tokens[i] = Trim(tokens[i], i == 0);
        return sequences;
    }

    private Token Trim(Token token, bool isFirst)
    {
        var text = (token.Text ?? tokenOf(token.Id)).AsSpan();
        int leading = 0, trailing = 0;
        while (leading < text.Length && IsSpace(text[leading])) leading++;
        while (trailing < text.Length && IsSpace(text[text.Length - 1 - trailing])) trailing++;

        var (start, end) = token.Origin;
        // A single space before the first word of the text was added by the pre-tokenizer.
        if (addPrefixSpace && leading == 1 && (isFirst || start == 0)) leading = 0;
        start = Math.Min(start + leading, end);
        if (end >= trailing) end = Math.Max(end - trailing, start);
        return token with { Origin = new Origin(start, end) };
    }

    private static bool IsSpace(char c) => c == ByteAlphabet.Space || char.IsWhiteSpace(c);
}
