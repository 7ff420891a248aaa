using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// One rune of a rewritten text. If <paramref name="Change"/> is 0, the rune replaces the next rune of the source; if it is 1, the rune
/// is inserted after the rune before it; if it is -n, the rune replaces the next rune and the n runes after that are removed.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/normalizer.rs, NormalizedString::transform</remarks>
internal readonly record struct RuneChange(Rune Rune, int Change)
{
    /// <summary>Rewrites a text. An inserted rune has the origin of the source rune before it.</summary>
    public static AlignedText Apply(AlignedText source, List<RuneChange> changes)
    {
        var result = source.Rewrite();
        int next = 0; // the next rune of the source
        foreach (var (rune, change) in changes)
        {
            int index = Math.Min(change > 0 ? next - 1 : next, source.Length - 1);
            var origin = index < 0 ? new Origin(source.OriginAt(0).Start, source.OriginAt(0).Start) : source.OriginAt(index);
            for (int skip = change; skip <= 0 && next < source.Length; skip++)
                next += source.RuneAt(next).Utf16SequenceLength;
            result.Append(rune, origin);
        }
        return result;
    }
}
