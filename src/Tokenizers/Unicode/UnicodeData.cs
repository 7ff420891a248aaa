using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>
/// The tables of Unicode normalization, read once from <c>normalization.txt</c>. <see cref="string.Normalize()"/> cannot be used:
/// it does nothing in invariant globalization mode, and it does not report which rune came from which.
/// </summary>
internal static class UnicodeData
{
    private static readonly Dictionary<int, (Rune[] Runes, bool IsCompatible)> _decompositions = [];
    private static readonly Dictionary<(int, int), Rune> _compositions = [];
    private static readonly Dictionary<int, byte> _combiningClasses = [];

    static UnicodeData()
    {
        using var reader = new StreamReader(typeof(UnicodeData).Assembly.GetManifestResourceStream("normalization.txt")!);
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#')) continue;
            int separator = line.AsSpan().IndexOfAny("=!~-");
            int rune = ParseHex(line.AsSpan(0, separator));
            if (line[separator] == '-')
            {
                int colon = line.IndexOf(':', separator);
                int last = ParseHex(line.AsSpan(separator + 1, colon - separator - 1));
                byte combiningClass = byte.Parse(line.AsSpan(colon + 1), CultureInfo.InvariantCulture);
                for (; rune <= last; rune++) _combiningClasses[rune] = combiningClass;
                continue;
            }
            Rune[] runes = [.. line[(separator + 1)..].Split(' ').Select(hex => new Rune(ParseHex(hex)))];
            _decompositions[rune] = (runes, line[separator] == '~');
            if (line[separator] == '=') _compositions[(runes[0].Value, runes[1].Value)] = new Rune(rune);
        }
    }

    /// <summary>The canonical combining class. A rune of class 0 is a starter.</summary>
    public static byte CombiningClass(Rune rune) => rune.Value < 0x300 ? (byte)0 : _combiningClasses.GetValueOrDefault(rune.Value);

    /// <summary>Appends the full canonical or compatibility decomposition of a rune.</summary>
    public static void Decompose(Rune rune, bool compatible, List<Rune> result)
    {
        if (rune.Value < 0x80)
            result.Add(rune);
        else if (Hangul.IsSyllable(rune.Value))
            Hangul.Decompose(rune.Value, result);
        else if (_decompositions.TryGetValue(rune.Value, out var found) && (compatible || !found.IsCompatible))
            foreach (var component in found.Runes) Decompose(component, compatible, result);
        else
            result.Add(rune);
    }

    /// <summary>The canonical composition of two runes, or null if they do not compose.</summary>
    public static Rune? Compose(Rune first, Rune second) =>
        Hangul.Compose(first.Value, second.Value) is int syllable ? new Rune(syllable)
        : _compositions.TryGetValue((first.Value, second.Value), out var composed) ? composed
        : null;

    private static int ParseHex(ReadOnlySpan<char> text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
