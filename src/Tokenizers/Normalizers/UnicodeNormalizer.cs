using System.Text;
using Ndif.Tokenizers.Text;
using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>The Unicode normalization forms (UAX 15), with the origin of each rune.</summary>
internal sealed class UnicodeNormalizer(bool compatible, bool compose) : INormalizer
{
    public static readonly UnicodeNormalizer Nfc = new(false, true), Nfd = new(false, false), Nfkc = new(true, true), Nfkd = new(true, false);

    // no rune below these is changed by the form: U+00A0 is the first compatibility character,
    // U+00C0 the first that decomposes, U+0300 the first that composes with what stands before it
    readonly char _firstChanged = compatible ? '\u00A0' : compose ? '\u0300' : '\u00C0';

    public AlignedText Normalize(AlignedText text)
    {
        if (text.Chars.IndexOfAnyInRange(_firstChanged, '\uFFFF') < 0) return text;
        var changes = Decompose(text);
        return RuneChange.Apply(text, compose ? Compose(changes) : changes);
    }

    List<RuneChange> Decompose(AlignedText text)
    {
        var changes = new List<RuneChange>(text.Length);
        var parts = new List<Rune>();
        int unsorted = 0; // marks from here on wait to be brought into canonical order
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            i += rune.Utf16SequenceLength;
            parts.Clear();
            UnicodeData.Decompose(rune, compatible, parts);
            for (int part = 0; part < parts.Count; part++)
            {
                if (UnicodeData.CombiningClass(parts[part]) == 0)
                {
                    SortByCombiningClass(changes, unsorted);
                    unsorted = changes.Count + 1;
                }
                changes.Add(new RuneChange(parts[part], part == 0 ? 0 : 1));
            }
        }
        SortByCombiningClass(changes, unsorted);
        return changes;
    }

    /// <summary>A stable sort by combining class of the marks from a place on.</summary>
    static void SortByCombiningClass(List<RuneChange> changes, int start)
    {
        if (changes.Count - start < 2) return;
        var sorted = changes.Skip(start).OrderBy(change => UnicodeData.CombiningClass(change.Rune)).ToList();
        for (int i = 0; i < sorted.Count; i++) changes[start + i] = sorted[i];
    }

    static List<RuneChange> Compose(List<RuneChange> decomposed)
    {
        var result = new List<RuneChange>(decomposed.Count);
        int starter = -1;    // where in the result the rune is that the following ones may compose with
        int lastClass = -1;  // the class of the last mark kept after it, -1: none
        foreach (var (rune, change) in decomposed)
        {
            int combiningClass = UnicodeData.CombiningClass(rune);
            bool blocked = lastClass >= combiningClass;
            if (starter >= 0 && !blocked && UnicodeData.Compose(result[starter].Rune, rune) is { } composed)
            {
                result[starter] = new RuneChange(composed, result[starter].Change + change - 1);
                continue;
            }
            if (combiningClass == 0)
            {
                starter = result.Count;
                lastClass = -1;
            }
            else if (starter >= 0)
                lastClass = combiningClass;
            result.Add(new RuneChange(rune, change));
        }
        return result;
    }
}
