using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>
/// The tables of Unicode normalization, read once from <c>normalization.txt</c>. They are ours because .NET normalizes nothing
/// in invariant globalization mode, and because the origin of each rune must be followed through.
/// </summary>
internal static class UnicodeData
{
    static readonly Dictionary<int, (Rune[] Runes, bool IsCompatible)> s_decompositions = [];
    static readonly Dictionary<(int, int), Rune> s_compositions = [];
    static readonly Dictionary<int, byte> s_classes = [];

    static UnicodeData()
    {
        using var reader = new StreamReader(typeof(UnicodeData).Assembly.GetManifestResourceStream("normalization.txt")!);
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#')) continue;
            int mark = line.AsSpan().IndexOfAny("=!~-");
            int rune = Hex(line.AsSpan(0, mark));
            if (line[mark] == '-')
            {
                int colon = line.IndexOf(':', mark);
                byte combiningClass = byte.Parse(line.AsSpan(colon + 1), CultureInfo.InvariantCulture);
                for (int last = Hex(line.AsSpan(mark + 1, colon - mark - 1)); rune <= last; rune++) s_classes[rune] = combiningClass;
                continue;
            }
            Rune[] runes = [.. line[(mark + 1)..].Split(' ').Select(hex => new Rune(Hex(hex)))];
            s_decompositions[rune] = (runes, line[mark] == '~');
            if (line[mark] == '=') s_compositions[(runes[0].Value, runes[1].Value)] = new Rune(rune);
        }
    }

    /// <summary>The canonical combining class; 0 is a starter.</summary>
    public static byte CombiningClass(Rune rune) => rune.Value < 0x300 ? (byte)0 : s_classes.GetValueOrDefault(rune.Value);

    /// <summary>Appends the full decomposition.</summary>
    public static void Decompose(Rune rune, bool compatible, List<Rune> result)
    {
        if (rune.Value < 0x80)
            result.Add(rune);
        else if (Hangul.IsSyllable(rune.Value))
            Hangul.Decompose(rune.Value, result);
        else if (s_decompositions.TryGetValue(rune.Value, out var found) && (compatible || !found.IsCompatible))
            foreach (var part in found.Runes) Decompose(part, compatible, result);
        else
            result.Add(rune);
    }

    /// <summary>The rune that two compose to, or null.</summary>
    public static Rune? Compose(Rune first, Rune second) =>
        Hangul.Compose(first.Value, second.Value) is int syllable ? new Rune(syllable)
        : s_compositions.TryGetValue((first.Value, second.Value), out var composed) ? composed
        : null;

    static int Hex(ReadOnlySpan<char> text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
