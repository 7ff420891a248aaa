using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat;

/// <summary>Splits the content of a tag into tokens.</summary>
/// <remarks>jinja2/lexer.py</remarks>
internal static class ExpressionLexer
{
    private static readonly string[] _operators =
    [
        "==", "!=", "<=", ">=", "//", "**", "<", ">", "=", "+", "-", "*", "/", "%", "~", "|", "(", ")", "[", "]", "{", "}", ",", ":", ".",
    ];

    public static List<ExpressionToken> Tokenize(string expression)
    {
        List<ExpressionToken> tokens = [];
        for (int position = 0; position < expression.Length;)
        {
            char c = expression[position];
            if (char.IsWhiteSpace(c)) position++;
            else if (char.IsAsciiLetter(c) || c == '_')
                tokens.Add(new(ExpressionTokenKind.Name, ReadWhile(expression, ref position, IsNameChar)));
            else if (char.IsAsciiDigit(c)) tokens.Add(ReadNumber(expression, ref position));
            else if (c is '"' or '\'') tokens.Add(new(ExpressionTokenKind.String, ReadString(expression, ref position)));
            else tokens.Add(new(ExpressionTokenKind.Operator, ReadOperator(expression, ref position)));
        }
        tokens.Add(new(ExpressionTokenKind.End, "the end"));
        return tokens;
    }

    private static bool IsNameChar(char c) => char.IsAsciiLetterOrDigit(c) || c == '_';

    private static string ReadOperator(string expression, ref int position)
    {
        int start = position;
        string op = Array.Find(_operators, op => string.CompareOrdinal(expression, start, op, 0, op.Length) == 0)
            ?? throw new ChatTemplateException($"'{expression[start]}' is not understood");
        position += op.Length;
        return op;
    }

    private static ExpressionToken ReadNumber(string expression, ref int position)
    {
        string digits = ReadWhile(expression, ref position, c => char.IsAsciiDigit(c) || c == '_');
        if (position + 1 >= expression.Length || expression[position] != '.' || !char.IsAsciiDigit(expression[position + 1]))
            return new(ExpressionTokenKind.Integer, digits.Replace("_", "", StringComparison.Ordinal));
        position++;
        string number = $"{digits}.{ReadWhile(expression, ref position, char.IsAsciiDigit)}";
        if (position + 1 < expression.Length && expression[position] is 'e' or 'E')
        {
            int exponent = position + (expression[position + 1] is '+' or '-' ? 2 : 1);
            if (exponent < expression.Length && char.IsAsciiDigit(expression[exponent]))
            {
                number += expression[position..exponent];
                position = exponent;
                number += ReadWhile(expression, ref position, char.IsAsciiDigit);
            }
        }
        return new(ExpressionTokenKind.Real, number);
    }

    private static string ReadString(string expression, ref int position)
    {
        char quote = expression[position++];
        StringBuilder text = new();
        for (; position < expression.Length && expression[position] != quote; position++)
        {
            if (expression[position] != '\\' || position + 1 >= expression.Length)
                text.Append(expression[position]);
            else
            {
                position++;
                AppendEscape(expression, ref position, text);
            }
        }
        if (position++ >= expression.Length) throw new ChatTemplateException("a text has no end");
        return text.ToString();
    }

    /// <summary>Appends the char of an escape sequence. The position is that of its last char afterwards.</summary>
    private static void AppendEscape(string expression, ref int position, StringBuilder text)
    {
        switch (expression[position])
        {
            case 'n': text.Append('\n'); break;
            case 't': text.Append('\t'); break;
            case 'r': text.Append('\r'); break;
            case 'u' when position + 4 < expression.Length && TryParseHex(expression.AsSpan(position + 1, 4), out ushort code):
                text.Append((char)code);
                position += 4;
                break;
            case '\\' or '\'' or '"': text.Append(expression[position]); break;
            default: text.Append('\\').Append(expression[position]); break;
        }
    }

    private static bool TryParseHex(ReadOnlySpan<char> digits, out ushort code) =>
        ushort.TryParse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out code);

    private static string ReadWhile(string text, ref int position, Func<char, bool> predicate)
    {
        int start = position;
        while (position < text.Length && predicate(text[position])) position++;
        return text[start..position];
    }
}
