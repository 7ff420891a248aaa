using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>Decomposes Hangul syllables into two or three jamo and composes them, by arithmetic (Unicode Standard, section 3.12).</summary>
internal static class Hangul
{
    // The names of the Unicode Standard: syllable, leading consonant, vowel, trailing consonant.
    private const int SBase = 0xAC00, LBase = 0x1100, VBase = 0x1161, TBase = 0x11A7;
    private const int LCount = 19, VCount = 21, TCount = 28, NCount = VCount * TCount, SCount = LCount * NCount;

    public static bool IsSyllable(int rune) => rune is >= SBase and < SBase + SCount;

    public static void Decompose(int syllable, List<Rune> result)
    {
        int index = syllable - SBase;
        result.Add(new Rune(LBase + index / NCount));
        result.Add(new Rune(VBase + index % NCount / TCount));
        if (index % TCount > 0) result.Add(new Rune(TBase + index % TCount));
    }

    public static int? Compose(int first, int second)
    {
        if (first is >= LBase and < LBase + LCount && second is >= VBase and < VBase + VCount)
            return SBase + ((first - LBase) * VCount + (second - VBase)) * TCount;
        if (IsSyllable(first) && (first - SBase) % TCount == 0 && second is > TBase and < TBase + TCount)
            return first + (second - TBase);
        return null;
    }
}
