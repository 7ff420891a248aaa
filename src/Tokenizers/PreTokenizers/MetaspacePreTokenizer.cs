using System.Text;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>When <see cref="MetaspacePreTokenizer"/> puts its mark in front of a text.</summary>
internal enum PrependScheme
{
    Always,

    /// <summary>Only at the very start of the original text, not after a special token.</summary>
    First,

    Never,
}

/// <summary>SentencePiece's spaces: each becomes a visible mark ('▁'), one goes in front, and words begin at marks.</summary>
internal sealed class MetaspacePreTokenizer(Rune replacement, PrependScheme prependScheme, bool split) : IPreTokenizer
{
    readonly string _replacementText = replacement.ToString();
    readonly LiteralPattern _pattern = new(replacement.ToString());

    public static MetaspacePreTokenizer Read(JsonPart part) =>
        new(part.Required("replacement").Rune(), ReadScheme(part), part.Bool("split", true));

    /// <summary>Older files say <c>add_prefix_space</c> instead of <c>prepend_scheme</c>.</summary>
    public static PrependScheme ReadScheme(JsonPart part)
    {
        if (!part.Bool("add_prefix_space", true)) return PrependScheme.Never;
        if (part.Optional("prepend_scheme") is not { } scheme) return PrependScheme.Always;
        return scheme.String() switch
        {
            "always" => PrependScheme.Always,
            "first" => PrependScheme.First,
            "never" => PrependScheme.Never,
            var name => throw scheme.CreateException($"'{name}' is unknown{NearestName.Hint(name, ["always", "first", "never"])}"),
        };
    }

    public PreTokenizedText Split(PreTokenizedText words)
    {
        var text = words.Text.Rewrite(words.Spans.Count);
        var spans = new List<TextSpan>(words.Spans.Count);
        foreach (var word in words.Spans)
        {
            int start = text.Length;
            var chars = words.Text.Chars[word.Start..word.End];
            var first = words.Text.OriginAt(word.Start);
            bool wanted = prependScheme == PrependScheme.Always || (prependScheme == PrependScheme.First && first.Start == 0);
            if (wanted && chars[0] != ' ' && !chars.StartsWith(_replacementText, StringComparison.Ordinal)) text.Append(_replacementText, first);
            for (int i = 0; i < chars.Length; i++)
            {
                var origin = words.Text.OriginAt(word.Start + i);
                if (chars[i] == ' ') text.Append(_replacementText, origin);
                else text.Append(chars[i], origin);
            }
            spans.Add(new TextSpan(start, text.Length));
        }
        var result = new PreTokenizedText(text, spans);
        return split ? result.Split(_pattern, SplitBehavior.MergedWithNext) : result;
    }
}
