using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>
/// The tables of Unicode normalization, read once from <c>normalization.txt</c>. They are ours because .NET normalizes nothing
/// in invariant globalization mode, and because the origin of each rune must be followed through.
/// </summary>
internal static class UnicodeData
{
    static readonly Dictionary<int, (Rune[] Runes, bool IsCompatible)> _decompositions = [];
    static readonly Dictionary<(int, int), Rune> _compositions = [];
    static readonly Dictionary<int, byte> _combiningClasses = [];

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
                for (int last = Hex(line.AsSpan(mark + 1, colon - mark - 1)); rune <= last; rune++) _combiningClasses[rune] = combiningClass;
                continue;
            }
            Rune[] runes = [.. line[(mark + 1)..].Split(' ').Select(hex => new Rune(Hex(hex)))];
            _decompositions[rune] = (runes, line[mark] == '~');
            if (line[mark] == '=') _compositions[(runes[0].Value, runes[1].Value)] = new Rune(rune);
        }
    }

    /// <summary>The canonical combining class; 0 is a starter.</summary>
    public static byte CombiningClass(Rune rune) => rune.Value < 0x300 ? (byte)0 : _combiningClasses.GetValueOrDefault(rune.Value);

    /// <summary>Appends the full decomposition.</summary>
    public static void Decompose(Rune rune, bool compatible, List<Rune> result)
    {
        if (rune.Value < 0x80)
            result.Add(rune);
        else if (Hangul.IsSyllable(rune.Value))
            Hangul.Decompose(rune.Value, result);
        else if (_decompositions.TryGetValue(rune.Value, out var found) && (compatible || !found.IsCompatible))
            foreach (var part in found.Runes) Decompose(part, compatible, result);
        else
            result.Add(rune);
    }

    /// <summary>The rune that two compose to, or null.</summary>
    public static Rune? Compose(Rune first, Rune second) =>
        Hangul.Compose(first.Value, second.Value) is int syllable ? new Rune(syllable)
        : _compositions.TryGetValue((first.Value, second.Value), out var composed) ? composed
        : null;

    static int Hex(ReadOnlySpan<char> text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
