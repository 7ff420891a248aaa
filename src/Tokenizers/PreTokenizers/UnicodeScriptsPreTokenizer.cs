using Ndif.Tokenizers.Text;
using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>
/// Splits a text where the script changes. Kana belong to Han, and a space belongs to the script before it; leading spaces are dropped.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/unicode_scripts/pre_tokenizer.rs</remarks>
internal sealed class UnicodeScriptsPreTokenizer : IPreTokenizer
{
    private const int AnyScript = -1, LongVowelMark = 0x30FC;

    private static readonly (int First, int Last, int Script)[] _ranges = [.. UnicodeProperties.Scripts
        .SelectMany((set, script) => set.Ranges.Select(range => (range.First, range.Last, script))).OrderBy(range => range.First)];
    private static readonly int _han = ScriptAt('漢'), _hiragana = ScriptAt('あ'), _katakana = ScriptAt('ア');

    public PreTokenizedText Split(PreTokenizedText input)
    {
        var spans = new List<TextSpan>(input.Spans.Count);
        foreach (var span in input.Spans)
        {
            int last = AnyScript, start = -1;
            for (int i = span.Start; i < span.End;)
            {
                var rune = input.Text.RuneAt(i);
                int script = ScriptOf(rune.Value);
                if (script != AnyScript && (start < 0 || script != last))
                {
                    if (start >= 0) spans.Add(new TextSpan(start, i));
                    start = i;
                }
                if (script != AnyScript) last = script;
                i += rune.Utf16SequenceLength;
            }
            if (start >= 0) spans.Add(new TextSpan(start, span.End));
        }
        return input with { Spans = spans };
    }

    private static int ScriptOf(int code)
    {
        if (code == ' ') return AnyScript;
        int script = ScriptAt(code);
        return code == LongVowelMark || script == _hiragana || script == _katakana ? _han : script;
    }

    private static int ScriptAt(int code)
    {
        int low = 0, high = _ranges.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (code < _ranges[middle].First) high = middle - 1;
            else if (code > _ranges[middle].Last) low = middle + 1;
            else return _ranges[middle].Script;
        }
        return AnyScript;
    }
}
