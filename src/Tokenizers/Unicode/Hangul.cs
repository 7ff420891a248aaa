using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>Hangul syllables are made of two or three jamo by arithmetic (Unicode, section 3.12).</summary>
internal static class Hangul
{
    const int S = 0xAC00, L = 0x1100, V = 0x1161, T = 0x11A7, LCount = 19, VCount = 21, TCount = 28, SCount = LCount * VCount * TCount;

    public static bool IsSyllable(int rune) => rune is >= S and < S + SCount;

    public static void Decompose(int syllable, List<Rune> result)
    {
        int index = syllable - S;
        result.Add(new Rune(L + index / (VCount * TCount)));
        result.Add(new Rune(V + index % (VCount * TCount) / TCount));
        if (index % TCount > 0) result.Add(new Rune(T + index % TCount));
    }

    public static int? Compose(int first, int second)
    {
        if (first is >= L and < L + LCount && second is >= V and < V + VCount)
            return S + ((first - L) * VCount + (second - V)) * TCount;
        if (IsSyllable(first) && (first - S) % TCount == 0 && second is > T and < T + TCount)
            return first + (second - T);
        return null;
    }
}
