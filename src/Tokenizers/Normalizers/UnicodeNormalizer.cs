using System.Text;
using Ndif.Tokenizers.Text;
using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Normalizers;

/// <summary>Converts a text to a Unicode normalization form (UAX 15) and tracks the origin of each rune.</summary>
internal sealed class UnicodeNormalizer(bool compatible, bool compose) : INormalizer
{
    public static readonly UnicodeNormalizer Nfc = new(compatible: false, compose: true);
    public static readonly UnicodeNormalizer Nfd = new(compatible: false, compose: false);
    public static readonly UnicodeNormalizer Nfkc = new(compatible: true, compose: true);
    public static readonly UnicodeNormalizer Nfkd = new(compatible: true, compose: false);

    // The form changes no text of smaller runes: U+00A0 is the first rune with a compatibility decomposition, U+00C0 is the first
    // with a canonical decomposition, and U+0300 is the first that composes with the rune before it.
    private readonly char _firstChanged = compatible ? '\u00A0' : compose ? '\u0300' : '\u00C0';

    public AlignedText Normalize(AlignedText text)
    {
        if (text.Chars.IndexOfAnyInRange(_firstChanged, '\uFFFF') < 0) return text;
        var changes = Decompose(text);
        return RuneChange.Apply(text, compose ? Compose(changes) : changes);
    }

    private List<RuneChange> Decompose(AlignedText text)
    {
        var changes = new List<RuneChange>(text.Length);
        var decomposition = new List<Rune>();
        int unsorted = 0; // the start of the marks that are not yet in canonical order
        for (int i = 0; i < text.Length;)
        {
            var rune = text.RuneAt(i);
            i += rune.Utf16SequenceLength;
            decomposition.Clear();
            UnicodeData.Decompose(rune, compatible, decomposition);
            for (int component = 0; component < decomposition.Count; component++)
            {
                if (UnicodeData.CombiningClass(decomposition[component]) == 0)
                {
                    SortByCombiningClass(changes, unsorted);
                    unsorted = changes.Count + 1;
                }
                changes.Add(new RuneChange(decomposition[component], component == 0 ? 0 : 1));
            }
        }
        SortByCombiningClass(changes, unsorted);
        return changes;
    }

    /// <summary>Sorts the runes from an index to the end by combining class. The sort is stable (Unicode Standard, D109).</summary>
    private static void SortByCombiningClass(List<RuneChange> changes, int start)
    {
        if (changes.Count - start < 2) return;
        var sorted = changes.Skip(start).OrderBy(change => UnicodeData.CombiningClass(change.Rune)).ToList();
        for (int i = 0; i < sorted.Count; i++) changes[start + i] = sorted[i];
    }

    private static List<RuneChange> Compose(List<RuneChange> decomposed)
    {
        var result = new List<RuneChange>(decomposed.Count);
        int starter = -1;    // the index, in the result, of the last starter, with which the following runes can compose
        int lastClass = -1;  // the combining class of the last mark that was kept after the starter; -1 if there is none
        foreach (var (rune, change) in decomposed)
        {
            int combiningClass = UnicodeData.CombiningClass(rune);
            bool isBlocked = lastClass >= combiningClass;
            if (starter >= 0 && !isBlocked && UnicodeData.Compose(result[starter].Rune, rune) is { } composed)
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
