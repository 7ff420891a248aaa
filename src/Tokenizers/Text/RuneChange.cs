using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// One rune of a rewritten text: <paramref name="Change"/> 0 replaces the next rune of the source, 1 is inserted after it,
/// -n replaces it and removes n more. (The convention of Hugging Face's NormalizedString::transform.)
/// </summary>
internal readonly record struct RuneChange(Rune Rune, int Change)
{
    /// <summary>Rewrites a text: an inserted rune belongs to what the rune before it replaced.</summary>
    public static AlignedText Apply(AlignedText source, List<RuneChange> changes)
    {
        var result = source.Rewrite();
        int at = 0;
        foreach (var (rune, change) in changes)
        {
            int of = Math.Min(change > 0 ? at - 1 : at, source.Length - 1);
            var origin = of < 0 ? new Origin(source.OriginAt(0).Start, source.OriginAt(0).Start) : source.OriginAt(of);
            for (int skip = change; skip <= 0 && at < source.Length; skip++)
                at += source.RuneAt(at).Utf16SequenceLength;
            result.Append(rune, origin);
        }
        return result;
    }
}
