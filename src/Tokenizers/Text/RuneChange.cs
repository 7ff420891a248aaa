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
        var result = new AlignedText(source.Length);
        int at = 0;
        foreach (var (rune, change) in changes)
        {
            var origins = source.Origins;
            int of = change > 0 ? at - 1 : at;
            Origin origin = of < 0 ? new Origin(origins[0].Start, origins[0].Start) : origins[Math.Min(of, origins.Length - 1)];
            for (int skip = change; skip <= 0 && at < source.Length; skip++)
                at += source.RuneAt(at).Utf16SequenceLength;
            result.Append(rune, origin);
        }
        return result;
    }
}
