using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Unicode;

/// <summary>
/// The sets of code points that regular expressions name: general categories, scripts, binary properties and POSIX brackets.
/// </summary>
/// <remarks>UAX 44; kkos/oniguruma, doc/RE and doc/UNICODE_PROPERTIES</remarks>
internal static class UnicodeProperties
{
    private static readonly List<string> _scripts = [];
    private static readonly Dictionary<string, string> _ranges = ReadRanges();
    private static readonly ConcurrentDictionary<string, CodePointSet> _sets = new(StringComparer.Ordinal);

    private static readonly Dictionary<string, string> _categoryNames = new(StringComparer.Ordinal)
    {
        ["letter"] = "l", ["casedletter"] = "lc", ["uppercaseletter"] = "lu", ["lowercaseletter"] = "ll", ["titlecaseletter"] = "lt",
        ["modifierletter"] = "lm", ["otherletter"] = "lo", ["mark"] = "m", ["combiningmark"] = "m", ["nonspacingmark"] = "mn",
        ["spacingmark"] = "mc", ["enclosingmark"] = "me", ["number"] = "n", ["decimalnumber"] = "nd", ["letternumber"] = "nl",
        ["othernumber"] = "no", ["punctuation"] = "p", ["connectorpunctuation"] = "pc", ["dashpunctuation"] = "pd",
        ["openpunctuation"] = "ps", ["closepunctuation"] = "pe", ["initialpunctuation"] = "pi", ["finalpunctuation"] = "pf",
        ["otherpunctuation"] = "po", ["symbol"] = "s", ["mathsymbol"] = "sm", ["currencysymbol"] = "sc", ["modifiersymbol"] = "sk",
        ["othersymbol"] = "so", ["separator"] = "z", ["spaceseparator"] = "zs", ["lineseparator"] = "zl", ["paragraphseparator"] = "zp",
        ["other"] = "c", ["control"] = "cc", ["format"] = "cf", ["surrogate"] = "cs", ["privateuse"] = "co", ["unassigned"] = "cn",
    };

    /// <summary>The two letters of each general category, in the order of <see cref="UnicodeCategory"/>.</summary>
    private static readonly string[] _categories =
        ["lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "zs", "zl", "zp", "cc", "cf", "cs", "co", "pc", "pd", "ps", "pe",
            "pi", "pf", "po", "sm", "sc", "sk", "so", "cn"];

    /// <summary>Finds a property by its name. Case, spaces, hyphens and underscores do not matter. Null if it is unknown.</summary>
    public static CodePointSet? Find(string name)
    {
        string key = Normalize(name);
        if (_categoryNames.TryGetValue(key, out string? category)) key = category;
        return _sets.TryGetValue(key, out var known) ? known : Compute(key) is { } set ? _sets.GetOrAdd(key, set) : null;
    }

    /// <summary>The name of a general category as .NET's <c>\p{...}</c> takes it, or null for any other property.</summary>
    public static string? FindDotNetCategory(string name)
    {
        string key = Normalize(name);
        if (_categoryNames.TryGetValue(key, out string? category)) key = category;
        // .NET counts surrogates and unassigned code units to C.
        bool isCategory = (key.Length == 1 && "lmnpsz".Contains(key[0])) || (Array.IndexOf(_categories, key) >= 0 && key[0] != 'c');
        return isCategory ? char.ToUpperInvariant(key[0]) + key[1..] : null;
    }

    /// <summary>The sets of all scripts.</summary>
    public static IEnumerable<CodePointSet> Scripts => _scripts.Select(name => Find(name)!);

    private static CodePointSet? Compute(string key)
    {
        if ((key.Length == 1 && "clmnpsz".Contains(key[0])) || Array.IndexOf(_categories, key) >= 0)
            return CodePointSet.Where(code =>
                _categories[(int)CharUnicodeInfo.GetUnicodeCategory(code)].StartsWith(key, StringComparison.Ordinal));
        return key switch
        {
            "lc" => Union("lu", "ll", "lt"),
            "any" => CodePointSet.All,
            "assigned" => Find("cn")!.Complement(),
            "ascii" => CodePointSet.Of([(0, 0x7F)]),
            "alpha" or "alphabetic" => Union("l", "nl", "otheralphabetic"),
            "upper" or "uppercase" => Union("lu", "otheruppercase"),
            "lower" or "lowercase" => Union("ll", "otherlowercase"),
            "digit" => Find("nd"),
            "alnum" => Union("alpha", "nd"),
            "blank" => Find("zs")!.Union(CodePointSet.Of('\t')),
            "cntrl" => Find("cc"),
            "punct" => Union("p", "s"),
            "space" or "whitespace" => CodePointSet.Where(code => Rune.IsValid(code) && Rune.IsWhiteSpace(new Rune(code))),
            "xdigit" or "asciihexdigit" => CodePointSet.Of([('0', '9'), ('A', 'F'), ('a', 'f')]),
            "word" => Union("alpha", "m", "nd", "pc"),
            "graph" => Union("space", "cc", "cn").Complement(),
            "print" => Union("graph", "zs"),
            _ => _ranges.TryGetValue(key, out string? ranges) ? ParseRanges(ranges) : null,
        };
    }

    private static CodePointSet Union(params string[] names) =>
        names.Select(name => Find(name)!).Aggregate((first, second) => first.Union(second));

    private static string Normalize(string name) =>
        string.Concat(name.Where(c => c is not (' ' or '-' or '_')).Select(char.ToLowerInvariant));

    private static CodePointSet ParseRanges(string ranges) => CodePointSet.Of(ranges.Split(' ').Select(range =>
    {
        string[] ends = range.Split('-');
        return (ParseHex(ends[0]), ParseHex(ends[^1]));
    }));

    private static int ParseHex(string text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    private static Dictionary<string, string> ReadRanges()
    {
        var result = new Dictionary<string, string>(StringComparer.Ordinal);
        using var reader = new StreamReader(typeof(UnicodeProperties).Assembly.GetManifestResourceStream("properties.txt")!);
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith('#')) continue;
            int separator = line.IndexOf('=');
            string[] names = line[..separator].TrimStart('*').Split('|');
            foreach (string name in names) result[Normalize(name)] = line[(separator + 1)..];
            if (line.StartsWith('*')) _scripts.Add(names[0]);
        }
        return result;
    }
}
