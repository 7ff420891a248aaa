using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>
/// SentencePiece's handling of spaces: it replaces each space by a printable character ('▁'), prepends one to the text and splits the
/// text before each of them.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/metaspace.rs</remarks>
internal sealed class MetaspacePreTokenizer(Rune replacement, PrependScheme prependScheme, bool split) : IPreTokenizer
{
    private readonly string _replacementText = replacement.ToString();
    private readonly LiteralPattern _pattern = new(replacement.ToString());

    public static MetaspacePreTokenizer Read(JsonSection section) =>
        new(section.Required("replacement").Rune(), ReadScheme(section), section.Bool("split", true));

    /// <summary>Reads <c>prepend_scheme</c>, or <c>add_prefix_space</c>, which older files have instead.</summary>
    public static PrependScheme ReadScheme(JsonSection section)
    {
        if (!section.Bool("add_prefix_space", true)) return PrependScheme.Never;
        if (section.Optional("prepend_scheme") is not { } scheme) return PrependScheme.Always;
        return scheme.String() switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            var name => throw scheme.CreateException($"'{name}' is unknown{NearestName.Hint(name, ["always", "first", "never"])}"),
        };
    }

    public PreTokenizedText Split(PreTokenizedText input)
    {
        var text = input.Text.Rewrite(input.Spans.Count);
        var spans = new List<TextSpan>(input.Spans.Count);
        foreach (var span in input.Spans)
        {
            int start = text.Length;
            var chars = input.Text.Chars[span.Start..span.End];
            var first = input.Text.OriginAt(span.Start);
            bool prepend = prependScheme == PrependScheme.Always || (prependScheme == PrependScheme.First && first.Start == 0);
            if (prepend && chars[0] != ' ' && !chars.StartsWith(_replacementText, StringComparison.Ordinal))
                text.Append(_replacementText, first);
            for (int i = 0; i < chars.Length; i++)
            {
                var origin = input.Text.OriginAt(span.Start + i);
                if (chars[i] == ' ') text.Append(_replacementText, origin);
                else text.Append(chars[i], origin);
            }
            spans.Add(new TextSpan(start, text.Length));
        }
        var result = new PreTokenizedText(text, spans);
        return split ? result.Split(_pattern, SplitBehavior.MergedWithNext) : result;
    }
}
