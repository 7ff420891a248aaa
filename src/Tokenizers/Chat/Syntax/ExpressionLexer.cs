using System.Text.RegularExpressions;

namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>Reads the tokens inside of a tag: numbers, names, string literals and operators.</summary>
/// <remarks>jinja2/lexer.py</remarks>
internal static partial class ExpressionLexer
{
    private static readonly string[] _operators =
    [
        "==", "!=", "<=", ">=", "//", "**",
        "<", ">", "=", "+", "-", "*", "/", "%", "~", "|", "(", ")", "[", "]", "{", "}", ",", ":", ".", ";",
    ];

    public static TemplateToken Read(string source, int position, int line, out int next)
    {
        char c = source[position];
        if (char.IsAsciiDigit(c) && MatchNumber(source, position, line, out next) is { } number) return number;
        if (IsNameChar(source, position))
        {
            next = position;
            while (next < source.Length && IsNameChar(source, next)) next++;
            string name = source[position..next];
            if (char.IsDigit(name[0])) throw new ChatTemplateException($"line {line}: '{name}' is no name");
            return new(TemplateTokenKind.Name, name, line);
        }
        if (c is '"' or '\'')
        {
            int end = position + 1;
            while (end < source.Length && source[end] != c) end += source[end] == '\\' ? 2 : 1;
            if (end >= source.Length) throw new ChatTemplateException($"line {line}: a text has no end {c}");
            next = end + 1;
            return new(TemplateTokenKind.String, StringLiteral.Unescape(source[(position + 1)..end], line), line);
        }
        string op = Array.Find(_operators, op => string.CompareOrdinal(source, position, op, 0, op.Length) == 0)
            ?? throw new ChatTemplateException($"line {line}: '{c}' is not understood");
        next = position + op.Length;
        return new(TemplateTokenKind.Operator, op, line);
    }

    private static TemplateToken? MatchNumber(string source, int position, int line, out int next)
    {
        Match match = position > 0 && source[position - 1] == '.' ? Match.Empty : RealPattern().Match(source, position);
        TemplateTokenKind kind = match.Success ? TemplateTokenKind.Real : TemplateTokenKind.Integer;
        if (!match.Success) match = IntegerPattern().Match(source, position);
        next = position + match.Length;
        return match.Success ? new(kind, match.Value.Replace("_", "", StringComparison.Ordinal), line) : null;
    }

    private static bool IsNameChar(string source, int position) =>
        char.IsLetterOrDigit(source, position) || source[position] == '_';

    [GeneratedRegex(@"\G(?:[0-9]+_)*[0-9]+(?:(?:\.(?:[0-9]+_)*[0-9]+)?[eE][+\-]?(?:[0-9]+_)*[0-9]+|\.(?:[0-9]+_)*[0-9]+)",
        RegexOptions.CultureInvariant)]
    private static partial Regex RealPattern();

    [GeneratedRegex(@"\G(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?[0-9])*|0(?:_?0)*)",
        RegexOptions.CultureInvariant)]
    private static partial Regex IntegerPattern();
}
