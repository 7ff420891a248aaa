using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Says a pattern of Oniguruma, which Hugging Face's tokenizers use, in .NET's dialect:
/// possessive quantifiers become atomic groups and <c>\x{...}</c> becomes <c>\u....</c>.
/// What has no equal is refused rather than read differently.
/// </summary>
internal static class RegexDialect
{
    /// <exception cref="FormatException">The pattern uses something that .NET would read differently.</exception>
    public static string Translate(string pattern)
    {
        var result = new StringBuilder(pattern.Length + 16);
        var groups = new Stack<int>();
        int atom = 0; // where, in the result, the thing that a quantifier would repeat begins
        for (int i = 0; i < pattern.Length; i++)
        {
            char c = pattern[i];
            switch (c)
            {
                case '\\':
                    atom = result.Length;
                    i = TranslateEscape(pattern, i, result);
                    break;
                case '[':
                    atom = result.Length;
                    i = TranslateClass(pattern, i, result);
                    break;
                case '(':
                    groups.Push(result.Length);
                    result.Append(c);
                    // '(?' opens a special group: its '?' is no quantifier
                    if (i + 1 < pattern.Length && pattern[i + 1] == '?') result.Append(pattern[++i]);
                    break;
                case ')':
                    atom = groups.Count > 0 ? groups.Pop() : result.Length;
                    result.Append(c);
                    break;
                case '*' or '+' or '?':
                    result.Append(c);
                    if (i + 1 < pattern.Length && pattern[i + 1] == '+')
                    {
                        result.Insert(atom, "(?>").Append(')');
                        i++;
                    }
                    else if (i + 1 < pattern.Length && pattern[i + 1] == '?')
                        result.Append(pattern[++i]);
                    break;
                case '{':
                    // a repetition belongs to the atom before it; a lone brace is a literal in both dialects
                    result.Append(c);
                    break;
                default:
                    if (c is not ('}' or ',') && !char.IsAsciiDigit(c)) atom = result.Length;
                    else if (!InRepetition(pattern, i)) atom = result.Length;
                    result.Append(c);
                    break;
            }
        }
        return result.ToString();
    }

    static bool InRepetition(string pattern, int at)
    {
        int open = pattern.LastIndexOf('{', at);
        if (open < 0) return false;
        int close = pattern.IndexOf('}', open);
        if (close < at) return false;
        foreach (char c in pattern.AsSpan(open + 1, close - open - 1))
            if (c != ',' && !char.IsAsciiDigit(c)) return false;
        return true;
    }

    static int TranslateEscape(string pattern, int at, StringBuilder result)
    {
        if (at + 1 >= pattern.Length) throw new FormatException("it ends with a lone backslash");
        char c = pattern[at + 1];
        if (c == 'x' && at + 2 < pattern.Length && pattern[at + 2] == '{')
        {
            int close = pattern.IndexOf('}', at);
            if (close < 0 || !int.TryParse(pattern.AsSpan(at + 3, close - at - 3), NumberStyles.AllowHexSpecifier,
                    CultureInfo.InvariantCulture, out int code) || code is < 0 or > 0xFFFF)
                throw new FormatException($"the code point at position {at} is not one of the basic plane");
            result.Append(CultureInfo.InvariantCulture, $"\\u{code:X4}");
            return close;
        }
        if (c == 'h') throw new FormatException("\\h (a hexadecimal digit in Oniguruma) is not supported; write [0-9a-fA-F]");
        result.Append('\\').Append(c);
        if (c is 'p' or 'P' && at + 2 < pattern.Length && pattern[at + 2] == '{')
        {
            int close = pattern.IndexOf('}', at);
            if (close < 0) throw new FormatException($"the property at position {at} has no closing brace");
            result.Append(pattern, at + 2, close - at - 1);
            return close;
        }
        return at + 1;
    }

    static int TranslateClass(string pattern, int at, StringBuilder result)
    {
        result.Append('[');
        int i = at + 1;
        if (i < pattern.Length && pattern[i] == '^') result.Append(pattern[i++]);
        for (bool first = true; i < pattern.Length; i++, first = false)
        {
            char c = pattern[i];
            if (c == ']' && !first)
            {
                result.Append(c);
                return i;
            }
            if (c == '[')
                throw new FormatException($"the nested character class at position {i} is not supported; a literal bracket is \\[");
            if (c == '&' && i + 1 < pattern.Length && pattern[i + 1] == '&')
                throw new FormatException($"the class intersection at position {i} is not supported");
            if (c == '\\') i = TranslateEscape(pattern, i, result);
            else result.Append(c);
        }
        throw new FormatException($"the character class at position {at} is never closed");
    }
}
