using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Text;

/// <summary>
/// Translates a regular expression of Oniguruma, the library that Hugging Face tokenizers use, to .NET syntax. Possessive quantifiers
/// become atomic groups and <c>\x{...}</c> becomes <c>\u....</c>. Syntax that .NET would interpret differently is rejected.
/// </summary>
/// <remarks>github.com/kkos/oniguruma, doc/RE</remarks>
internal static class RegexDialect
{
    /// <exception cref="FormatException">The pattern uses syntax that .NET would interpret differently.</exception>
    public static string Translate(string pattern)
    {
        var result = new StringBuilder(pattern.Length + 16);
        var groups = new Stack<int>();
        int atom = 0; // the start, in the result, of the expression that a quantifier would repeat
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
                    // The '?' of '(?' introduces a special group and is not a quantifier.
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
                    // An interval such as {1,3} applies to the preceding atom. Any other brace is a literal in both dialects.
                    result.Append(c);
                    break;
                default:
                    bool isInInterval = (c is '}' or ',' || char.IsAsciiDigit(c)) && IsInInterval(pattern, i);
                    if (!isInInterval) atom = result.Length;
                    result.Append(c);
                    break;
            }
        }
        return result.ToString();
    }

    private static bool IsInInterval(string pattern, int index)
    {
        int open = pattern.LastIndexOf('{', index);
        if (open < 0) return false;
        int close = pattern.IndexOf('}', open);
        if (close < index) return false;
        foreach (char c in pattern.AsSpan(open + 1, close - open - 1))
            if (c != ',' && !char.IsAsciiDigit(c)) return false;
        return true;
    }

    /// <summary>Translates the escape sequence at an index and returns the index of its last char.</summary>
    private static int TranslateEscape(string pattern, int index, StringBuilder result)
    {
        if (index + 1 >= pattern.Length) throw new FormatException("it ends with a lone backslash");
        char c = pattern[index + 1];
        if (c == 'x' && index + 2 < pattern.Length && pattern[index + 2] == '{')
        {
            int close = pattern.IndexOf('}', index);
            if (close < 0 || !int.TryParse(pattern.AsSpan(index + 3, close - index - 3), NumberStyles.AllowHexSpecifier,
                    CultureInfo.InvariantCulture, out int code) || code is < 0 or > 0xFFFF)
                throw new FormatException($"the code point at position {index} is not in the basic multilingual plane");
            result.Append(CultureInfo.InvariantCulture, $"\\u{code:X4}");
            return close;
        }
        if (c == 'h') throw new FormatException("\\h (a hexadecimal digit in Oniguruma) is not supported; write [0-9a-fA-F]");
        result.Append('\\').Append(c);
        if (c is 'p' or 'P' && index + 2 < pattern.Length && pattern[index + 2] == '{')
        {
            int close = pattern.IndexOf('}', index);
            if (close < 0) throw new FormatException($"the property at position {index} has no closing brace");
            result.Append(pattern, index + 2, close - index - 1);
            return close;
        }
        return index + 1;
    }

    /// <summary>Translates the character class at an index and returns the index of its closing bracket.</summary>
    private static int TranslateClass(string pattern, int index, StringBuilder result)
    {
        result.Append('[');
        int i = index + 1;
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
        throw new FormatException($"the character class at position {index} has no closing bracket");
    }
}
