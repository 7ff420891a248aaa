using System.Text.RegularExpressions;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>
/// The pre-tokenizer of GPT-2: it optionally adds a space at the start, splits by a regular expression, and maps each UTF-8 byte to one
/// char of <see cref="ByteAlphabet"/>.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/byte_level.rs</remarks>
internal sealed partial class ByteLevelPreTokenizer(bool addPrefixSpace, bool useRegex) : IPreTokenizer
{
    private const string Gpt2Pattern = @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    // openai/gpt-2, src/encoder.py. It backtracks at most one char, so it needs no time limit.
    [GeneratedRegex(Gpt2Pattern, RegexOptions.CultureInvariant)]
    private static partial Regex Gpt2();

    private static readonly RegexPattern _gpt2Pattern = new(Gpt2(), Gpt2Pattern);

    public PreTokenizedText Split(PreTokenizedText input)
    {
        if (addPrefixSpace) input = AddPrefixSpace(input);
        if (useRegex) input = input.Split(_gpt2Pattern, SplitBehavior.Isolated);

        var bytes = input.Text.Rewrite(input.Text.Length / 8);
        var spans = new List<TextSpan>(input.Spans.Count);
        foreach (var span in input.Spans)
        {
            int start = bytes.Length;
            ByteAlphabet.Append(input.Text, span, bytes);
            spans.Add(new TextSpan(start, bytes.Length));
        }
        return new PreTokenizedText(bytes, spans);
    }

    private static PreTokenizedText AddPrefixSpace(PreTokenizedText input)
    {
        var text = input.Text.Rewrite(input.Spans.Count);
        var spans = new List<TextSpan>(input.Spans.Count);
        foreach (var span in input.Spans)
        {
            int start = text.Length;
            if (input.Text.Chars[span.Start] != ' ') text.Append(' ', input.Text.OriginAt(span.Start));
            text.Append(input.Text, span.Start, span.End);
            spans.Add(new TextSpan(start, text.Length));
        }
        return new PreTokenizedText(text, spans);
    }
}
