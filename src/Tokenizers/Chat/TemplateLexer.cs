using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Chat;

internal enum TemplateSegmentKind { Text, Print, Block }

/// <summary>A run of text, an expression to print, or a statement, with its line.</summary>
internal readonly record struct TemplateSegment(TemplateSegmentKind Kind, string Content, int Line);

internal enum ExpressionTokenKind { Name, String, Integer, Real, Operator, End }

/// <summary>One word of an expression.</summary>
internal readonly record struct ExpressionToken(ExpressionTokenKind Kind, string Text);

/// <summary>
/// Cuts a template into its pieces, and a piece into its words. White space is what transformers asks of Jinja: a statement takes the
/// newline behind it and, where it begins a line, the blanks before it (trim_blocks, lstrip_blocks).
/// </summary>
/// <remarks>jinja2/lexer.py; transformers/utils/chat_template_utils.py, _compile_jinja_template</remarks>
internal static class TemplateLexer
{
    private static readonly string[] _operators = ["==", "!=", "<=", ">=", "//", "**", "<", ">", "=", "+", "-", "*", "/", "%", "~", "|", "(", ")", "[", "]", "{", "}", ",", ":", "."];

    public static List<TemplateSegment> SplitSegments(string template)
    {
        template = template.ReplaceLineEndings("\n");
        if (template.EndsWith('\n')) template = template[..^1];
        List<TemplateSegment> pieces = [];
        int at = 0, line = 1;
        bool strip = false; // the text that follows loses its leading white space
        while (at <= template.Length)
        {
            int open = FindNextTag(template, at);
            string text = open < 0 ? template[at..] : template[at..open];
            int lineOfTag = line + text.AsSpan().Count('\n');
            if (strip) text = text.TrimStart();
            if (open < 0)
            {
                if (text.Length > 0) pieces.Add(new TemplateSegment(TemplateSegmentKind.Text, text, line));
                return pieces;
            }
            char kind = template[open + 1];
            char sign = open + 2 < template.Length ? template[open + 2] : ' ';
            if (sign == '-') text = text.TrimEnd();
            else if (sign != '+' && kind != '{') text = TrimIndent(text, IsLineStart(template, at));
            if (text.Length > 0) pieces.Add(new TemplateSegment(TemplateSegmentKind.Text, text, line));
            int from = open + 2 + (sign is '-' or '+' ? 1 : 0), end = FindTagEnd(template, from, kind, lineOfTag);
            char last = template[end - 1];
            string content = template[from..(last is '-' or '+' && end - 1 >= from ? end - 1 : end)];
            strip = last == '-';
            line = lineOfTag + template.AsSpan(open, end - open).Count('\n');
            at = end + 2;
            if (kind != '{' && last is not ('-' or '+') && at < template.Length && template[at] == '\n')
            {
                at++;
                line++;
            }
            if (kind == '#') continue;
            if (kind == '%' && content.Trim() == "raw")
            {
                int stop = template.IndexOf("{%", at, StringComparison.Ordinal);
                while (stop >= 0 && !template.AsSpan(stop + 2).TrimStart("-+ ").StartsWith("endraw", StringComparison.Ordinal))
                    stop = template.IndexOf("{%", stop + 2, StringComparison.Ordinal);
                if (stop < 0) throw new ChatTemplateException($"line {lineOfTag}: raw has no endraw");
                pieces.Add(new TemplateSegment(TemplateSegmentKind.Text, template[at..stop], line));
                line += template.AsSpan(at, stop - at).Count('\n');
                at = template.IndexOf("%}", stop, StringComparison.Ordinal) is >= 0 and int closed ? closed + 2 : throw new ChatTemplateException($"line {line}: endraw has no end");
                continue;
            }
            pieces.Add(new TemplateSegment(kind == '{' ? TemplateSegmentKind.Print : TemplateSegmentKind.Block, content, lineOfTag));
        }
        return pieces;
    }

    private static int FindNextTag(string template, int at)
    {
        for (int i = template.IndexOf('{', at); i >= 0 && i + 1 < template.Length; i = template.IndexOf('{', i + 1))
            if (template[i + 1] is '{' or '%' or '#') return i;
        return -1;
    }

    /// <summary>True if what begins here begins a line.</summary>
    private static bool IsLineStart(string template, int at) => at == 0 || template[at - 1] == '\n';

    /// <summary>Without blanks behind its last newline, or without any if it is all blanks and begins a line.</summary>
    private static string TrimIndent(string text, bool beginsLine)
    {
        int newline = text.LastIndexOf('\n');
        string lastLine = text[(newline + 1)..];
        return lastLine.All(c => c is ' ' or '\t') && (newline >= 0 || beginsLine) ? text[..(newline + 1)] : text;
    }

    /// <summary>Where the tag ends; ends within quoted texts do not count.</summary>
    private static int FindTagEnd(string template, int from, char kind, int line)
    {
        string end = kind switch { '{' => "}}", '%' => "%}", _ => "#}" };
        int braces = 0;
        for (int i = from; i + 1 < template.Length; i++)
        {
            char c = template[i];
            if (kind != '#' && c is '"' or '\'')
            {
                for (i++; i < template.Length && template[i] != c; i++)
                    if (template[i] == '\\') i++;
                continue;
            }
            if (braces == 0 && string.CompareOrdinal(template, i, end, 0, 2) == 0) return i;
            if (kind == '#') continue;
            if (c == '{') braces++;
            if (c == '}' && braces > 0) braces--;
        }
        throw new ChatTemplateException($"line {line}: a tag has no end {end}");
    }

    public static List<ExpressionToken> TokenizeExpression(string expression)
    {
        List<ExpressionToken> words = [];
        for (int at = 0; at < expression.Length;)
        {
            char c = expression[at];
            if (char.IsWhiteSpace(c)) at++;
            else if (char.IsAsciiLetter(c) || c == '_') words.Add(new(ExpressionTokenKind.Name, ReadWhile(expression, ref at, x => char.IsAsciiLetterOrDigit(x) || x == '_')));
            else if (char.IsAsciiDigit(c)) words.Add(ReadNumber(expression, ref at));
            else if (c is '"' or '\'') words.Add(new(ExpressionTokenKind.String, ReadString(expression, ref at)));
            else
            {
                int start = at;
                string op = Array.Find(_operators, o => string.CompareOrdinal(expression, start, o, 0, o.Length) == 0) ?? throw new ChatTemplateException($"'{c}' is not understood");
                at += op.Length;
                words.Add(new(ExpressionTokenKind.Operator, op));
            }
        }
        words.Add(new(ExpressionTokenKind.End, "the end"));
        return words;
    }

    private static ExpressionToken ReadNumber(string expression, ref int at)
    {
        string digits = ReadWhile(expression, ref at, x => char.IsAsciiDigit(x) || x == '_');
        if (at + 1 >= expression.Length || expression[at] != '.' || !char.IsAsciiDigit(expression[at + 1])) return new(ExpressionTokenKind.Integer, digits.Replace("_", "", StringComparison.Ordinal));
        at++;
        string number = $"{digits}.{ReadWhile(expression, ref at, char.IsAsciiDigit)}";
        if (at + 1 < expression.Length && expression[at] is 'e' or 'E')
        {
            int exponent = at + (expression[at + 1] is '+' or '-' ? 2 : 1);
            if (exponent < expression.Length && char.IsAsciiDigit(expression[exponent]))
            {
                number += expression[at..exponent];
                at = exponent;
                number += ReadWhile(expression, ref at, char.IsAsciiDigit);
            }
        }
        return new(ExpressionTokenKind.Real, number);
    }

    private static string ReadString(string expression, ref int at)
    {
        char quote = expression[at++];
        StringBuilder text = new();
        for (; at < expression.Length && expression[at] != quote; at++)
        {
            if (expression[at] != '\\' || at + 1 >= expression.Length)
            {
                text.Append(expression[at]);
                continue;
            }
            switch (expression[++at])
            {
                case 'n': text.Append('\n'); break;
                case 't': text.Append('\t'); break;
                case 'r': text.Append('\r'); break;
                case 'u' when at + 4 < expression.Length && ushort.TryParse(expression.AsSpan(at + 1, 4), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ushort code):
                    text.Append((char)code);
                    at += 4;
                    break;
                case '\\' or '\'' or '"': text.Append(expression[at]); break;
                default: text.Append('\\').Append(expression[at]); break;
            }
        }
        if (at++ >= expression.Length) throw new ChatTemplateException("a text has no end");
        return text.ToString();
    }

    private static string ReadWhile(string text, ref int at, Func<char, bool> predicate)
    {
        int start = at;
        while (at < text.Length && predicate(text[at])) at++;
        return text[start..at];
    }
}
