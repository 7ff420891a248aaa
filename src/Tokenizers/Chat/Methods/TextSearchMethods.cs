using System.Text;

namespace Ndif.Tokenizers.Chat.Methods;

/// <summary>The methods of strings that search or ask a question.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html#string-methods</remarks>
internal static class TextSearchMethods
{
    private delegate object? SearchMethod(string text, TemplateArguments arguments);

    private static readonly Dictionary<string, SearchMethod> _methods = new(StringComparer.Ordinal)
    {
        ["startswith"] = (t, a) => MatchesAny("startswith", t, a, (part, affix) => part.StartsWith(affix, StringComparison.Ordinal)),
        ["endswith"] = (t, a) => MatchesAny("endswith", t, a, (part, affix) => part.EndsWith(affix, StringComparison.Ordinal)),
        ["find"] = (t, a) => Find("find", t, a, isLast: false),
        ["rfind"] = (t, a) => Find("rfind", t, a, isLast: true),
        ["index"] = (t, a) => RequireFound(Find("index", t, a, isLast: false)),
        ["rindex"] = (t, a) => RequireFound(Find("rindex", t, a, isLast: true)),
        ["count"] = (t, a) => Count(t, a),
        ["isdigit"] = (t, a) => AreAll("isdigit", t, a, PythonCharacters.IsDigit),
        ["isdecimal"] = (t, a) => AreAll("isdecimal", t, a, PythonCharacters.IsDecimal),
        ["isnumeric"] = (t, a) => AreAll("isnumeric", t, a, PythonCharacters.IsNumeric),
        ["isalpha"] = (t, a) => AreAll("isalpha", t, a, PythonCharacters.IsAlpha),
        ["isalnum"] = (t, a) => AreAll("isalnum", t, a, PythonCharacters.IsAlphanumeric),
        ["isspace"] = (t, a) => AreAll("isspace", t, a, rune => rune.IsBmp && PythonCharacters.IsSpace((char)rune.Value)),
        ["isprintable"] = (t, a) => AreAll("isprintable", t, a, PythonCharacters.IsPrintable, emptyResult: true),
        ["isascii"] = (t, a) => AreAll("isascii", t, a, rune => rune.IsAscii, emptyResult: true),
        ["isupper"] = (t, a) => { a.Bind("isupper"); return TextMethods.IsCase(t, PythonCharacters.IsUpper); },
        ["islower"] = (t, a) => { a.Bind("islower"); return TextMethods.IsCase(t, PythonCharacters.IsLower); },
        ["istitle"] = (t, a) => { a.Bind("istitle"); return IsTitle(t); },
        ["isidentifier"] = (t, a) =>
        {
            a.Bind("isidentifier");
            return t.Length > 0 && !PythonCharacters.IsDecimal(Rune.GetRuneAt(t, 0))
                && CodePoints.Runes(t).All(rune => rune.Value == '_' || Rune.IsLetterOrDigit(rune));
        },
    };

    public static TemplateFunction? Find(string text, string name) => !_methods.TryGetValue(name, out SearchMethod? method) ? null
        : (arguments, context) =>
        {
            context.Budget.CountRead(text);
            return method(text, arguments);
        };

    private static bool AreAll(string name, string text, TemplateArguments arguments, Func<Rune, bool> test, bool emptyResult = false)
    {
        arguments.Bind(name);
        return text.Length == 0 ? emptyResult : CodePoints.Runes(text).All(test);
    }

    private static bool IsTitle(string text)
    {
        bool isAfterCased = false, found = false;
        foreach (Rune rune in text.EnumerateRunes())
        {
            bool isCapital = PythonCharacters.IsUpper(rune) || PythonCharacters.IsTitle(rune);
            if (isCapital ? isAfterCased : PythonCharacters.IsLower(rune) && !isAfterCased) return false;
            isAfterCased = PythonCharacters.IsCased(rune);
            found |= isAfterCased;
        }
        return found;
    }

    /// <summary>The part of a text between the arguments start and end, and the index where it begins.</summary>
    private static (string Part, int Start)? GetPart(string text, BoundArguments arguments)
    {
        long count = CodePoints.Count(text);
        long start = Adjust(arguments.OptionalInteger(1) ?? 0), end = Math.Min(count, Adjust(arguments.OptionalInteger(2) ?? count));
        return start > end || start > count ? null : (CodePoints.Substring(text, (int)start, (int)end), (int)start);

        long Adjust(long index) => index < 0 ? Math.Max(0, index + count) : index;
    }

    private static object? Find(string name, string text, TemplateArguments arguments, bool isLast)
    {
        BoundArguments bound = arguments.Bind(name, "/sub", "/start=", "/end=");
        string searched = bound.Text(0);
        if (GetPart(text, bound) is not var (part, start)) return -1L;
        int at = searched.Length == 0 ? isLast ? part.Length : 0
            : isLast ? part.LastIndexOf(searched, StringComparison.Ordinal) : part.IndexOf(searched, StringComparison.Ordinal);
        return at < 0 ? -1L : (long)start + CodePoints.FromUtf16(part, at);
    }

    private static object? RequireFound(object? index) =>
        index is -1L ? throw new ChatTemplateException("the text that `index` searches is not there; use find") : index;

    private static long Count(string text, TemplateArguments arguments)
    {
        BoundArguments bound = arguments.Bind("count", "/sub", "/start=", "/end=");
        string searched = bound.Text(0);
        if (GetPart(text, bound) is not var (part, _)) return 0L;
        return searched.Length == 0 ? CodePoints.Count(part) + 1L : TextSplitter.Split(part, searched, -1).Count - 1L;
    }

    /// <summary>Tests the first argument, which is a string or a tuple of strings.</summary>
    private static bool MatchesAny(string name, string text, TemplateArguments arguments, Func<string, string, bool> matches)
    {
        BoundArguments bound = arguments.Bind(name, "/affix", "/start=", "/end=");
        IReadOnlyList<object?> affixes = bound[0] is TupleValue tuple ? tuple.Items : [bound.Text(0)];
        if (GetPart(text, bound) is not var (part, _)) return false;
        foreach (object? affix in affixes)
        {
            string searched = TemplateValues.AsText(affix)
                ?? throw new ChatTemplateException($"a text does not start or end with {TemplateValues.DescribeType(affix)}");
            if (matches(part, searched)) return true;
        }
        return false;
    }
}
