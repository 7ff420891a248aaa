using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>Replaces the escape sequences of a string literal, which are those of Python.</summary>
/// <remarks>jinja2/lexer.py, wrap; docs.python.org/3/reference/lexical_analysis.html#escape-sequences</remarks>
internal static class StringLiteral
{
    public static string Unescape(string literal, int line)
    {
        if (!literal.Contains('\\')) return literal;
        StringBuilder text = new(literal.Length);
        for (int i = 0; i < literal.Length; i++)
        {
            if (literal[i] != '\\') text.Append(literal[i]);
            else i = AppendEscape(literal, i + 1, text, line);
        }
        return text.ToString();
    }

    /// <summary>Appends the character of an escape sequence and returns the position of its last char.</summary>
    private static int AppendEscape(string literal, int i, StringBuilder text, int line)
    {
        char c = literal[i];
        switch (c)
        {
            case '\n': break; // a line that is continued
            case '\\' or '\'' or '"': text.Append(c); break;
            case 'n': text.Append('\n'); break;
            case 't': text.Append('\t'); break;
            case 'r': text.Append('\r'); break;
            case 'a': text.Append('\a'); break;
            case 'b': text.Append('\b'); break;
            case 'f': text.Append('\f'); break;
            case 'v': text.Append('\v'); break;
            case 'x': return AppendCode(literal, i, 2, text, line);
            case 'u': return AppendCode(literal, i, 4, text, line);
            case 'U': return AppendCode(literal, i, 8, text, line);
            case 'N': throw new ChatTemplateException(
                $"line {line}: the escape sequence \\N{{name}} is not supported; write \\u and the code");
            case >= '0' and <= '7':
                int code = 0, end = Math.Min(i + 3, literal.Length);
                for (; i < end && literal[i] is >= '0' and <= '7'; i++) code = code * 8 + literal[i] - '0';
                text.Append((char)code);
                return i - 1;
            case > '\u007f': return AppendNonAscii(literal, i, text);
            default: text.Append('\\').Append(c); break;
        }
        return i;
    }

    private static int AppendCode(string literal, int i, int digits, StringBuilder text, int line)
    {
        if (i + digits >= literal.Length || !uint.TryParse(
            literal.AsSpan(i + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint code))
            throw new ChatTemplateException($"line {line}: the escape sequence \\{literal[i]} needs {digits} hexadecimal digits");
        if (!Rune.IsValid(code))
            throw new ChatTemplateException($"line {line}: the escape sequence \\{literal.AsSpan(i, digits + 1)} is no character of " +
                $"Unicode");
        text.Append(new Rune(code).ToString());
        return i + digits;
    }

    /// <summary>
    /// Jinja writes a character that is not ASCII as an escape sequence before it decodes the literal. After a backslash, that sequence
    /// is text: <c>'\é'</c> is the text <c>\xe9</c>.
    /// </summary>
    private static int AppendNonAscii(string literal, int i, StringBuilder text)
    {
        bool isPair = char.IsHighSurrogate(literal[i]) && i + 1 < literal.Length && char.IsLowSurrogate(literal[i + 1]);
        int code = isPair ? char.ConvertToUtf32(literal[i], literal[i + 1]) : literal[i];
        string format = code < 0x100 ? "x2" : code < 0x10000 ? "x4" : "x8";
        text.Append('\\').Append(code < 0x100 ? 'x' : code < 0x10000 ? 'u'
            : 'U').Append(code.ToString(format, CultureInfo.InvariantCulture));
        return isPair ? i + 1 : i;
    }
}
