namespace Ndif.Tokenizers.Chat.Syntax;

/// <summary>
/// Splits the source of a template into tokens. White space is treated with the settings that transformers uses: a statement removes
/// the newline after it (trim_blocks) and, at the start of a line, the blanks before it (lstrip_blocks).
/// </summary>
/// <remarks>jinja2/lexer.py; transformers, utils/chat_template_utils.py, _compile_jinja_template</remarks>
internal sealed class TemplateLexer
{
    private readonly string _source;
    private readonly List<TemplateToken> _tokens = [];
    private int _position, _line = 1;
    private bool _startsLine = true; // whether the last tag ended with a newline, so that the text after it starts a line

    private TemplateLexer(string source) => _source = source;

    public static List<TemplateToken> Tokenize(string template)
    {
        template = template.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        if (template.EndsWith('\n')) template = template[..^1];
        TemplateLexer lexer = new(template);
        lexer.ReadTemplate();
        return lexer._tokens;
    }

    private void ReadTemplate()
    {
        while (true)
        {
            int open = FindNextTag(_position);
            if (open < 0) break;
            int rawEnd = MatchRawTag(open);
            char kind = _source[open + 1], sign = open + 2 < _source.Length ? _source[open + 2] : ' ';
            AddText(_source[_position..open], sign, kind);
            MoveTo(open);
            if (rawEnd >= 0)
            {
                MoveTo(rawEnd);
                ReadRaw();
                continue;
            }
            int line = _line;
            MoveTo(open + 2 + (sign is '-' or '+' ? 1 : 0));
            switch (kind)
            {
                case '#': SkipComment(line); break;
                case '%': ReadTag(TemplateTokenKind.BlockBegin, TemplateTokenKind.BlockEnd, "%}", line); break;
                default: ReadTag(TemplateTokenKind.PrintBegin, TemplateTokenKind.PrintEnd, "}}", line); break;
            }
        }
        if (_position < _source.Length) _tokens.Add(new(TemplateTokenKind.Data, _source[_position..], _line));
        _tokens.Add(new(TemplateTokenKind.End, "", _line));
    }

    private int FindNextTag(int start)
    {
        for (int i = _source.IndexOf('{', start); i >= 0 && i + 1 < _source.Length; i = _source.IndexOf('{', i + 1))
            if (_source[i + 1] is '{' or '%' or '#') return i;
        return -1;
    }

    /// <summary>Adds the text before a tag, without the white space that the tag removes.</summary>
    private void AddText(string text, char sign, char kind)
    {
        string kept = text;
        if (sign == '-') kept = text[..PythonCharacters.TrimEnd(text)];
        else if (sign != '+' && kind != '{') kept = TrimIndent(text, _startsLine);
        if (kept.Length > 0) _tokens.Add(new(TemplateTokenKind.Data, kept, _line));
    }

    /// <summary>Removes the blanks after the last newline of a text that starts a line or contains a newline.</summary>
    private static string TrimIndent(string text, bool startsLine)
    {
        int lineStart = text.LastIndexOf('\n') + 1;
        if (lineStart == 0 && !startsLine) return text;
        for (int i = lineStart; i < text.Length; i++)
            if (!PythonCharacters.IsSpace(text[i])) return text;
        return text[..lineStart];
    }

    private void MoveTo(int position)
    {
        _line += _source.AsSpan(_position, position - _position).Count('\n');
        _position = position;
    }

    /// <summary>Moves after the end of a tag and the white space that it removes.</summary>
    /// <param name="end">The position of the end of the tag, at its sign if it has one.</param>
    /// <param name="trimsNewline">True for a statement or comment: one newline after it is removed.</param>
    private void Close(int end, bool trimsNewline)
    {
        int position = end + (_source[end] is '-' or '+' ? 3 : 2);
        if (_source[end] == '-')
            while (position < _source.Length && PythonCharacters.IsSpace(_source[position])) position++;
        else if (_source[end] != '+' && trimsNewline && position < _source.Length && _source[position] == '\n') position++;
        MoveTo(position);
        _startsLine = position > 0 && _source[position - 1] == '\n';
    }

    private void SkipComment(int line)
    {
        int end = _source.IndexOf("#}", _position, StringComparison.Ordinal);
        if (end < 0 && _position == _source.Length) return; // Jinja does not mind a comment that only begins
        if (end < 0) throw new ChatTemplateException($"line {line}: a tag has no end #}}");
        if (end > _position && _source[end - 1] is '-' or '+') end--;
        Close(end, trimsNewline: true);
    }

    /// <summary>Returns the end of the tag <c>{% raw %}</c> at a position, or -1 if there is another tag.</summary>
    private int MatchRawTag(int open)
    {
        int i = MatchWord(open, "raw");
        if (i < 0) return -1;
        bool trims = i < _source.Length && _source[i] == '-';
        if (trims) i++;
        if (string.CompareOrdinal(_source, i, "%}", 0, 2) != 0) return -1;
        i += 2;
        while (trims && i < _source.Length && PythonCharacters.IsSpace(_source[i])) i++;
        return i;
    }

    /// <summary>
    /// Returns the position after <c>{%</c>, a sign, a word and the blanks around it, or -1 if they are not at a position.
    /// </summary>
    private int MatchWord(int open, string word)
    {
        if (string.CompareOrdinal(_source, open, "{%", 0, 2) != 0) return -1;
        int i = open + 2;
        if (i < _source.Length && _source[i] is '-' or '+') i++;
        i = SkipSpace(i);
        return string.CompareOrdinal(_source, i, word, 0, word.Length) == 0 ? SkipSpace(i + word.Length) : -1;
    }

    private int SkipSpace(int i)
    {
        while (i < _source.Length && PythonCharacters.IsSpace(_source[i])) i++;
        return i;
    }

    private void ReadRaw()
    {
        int line = _line;
        for (int open = _source.IndexOf("{%", _position, StringComparison.Ordinal); open >= 0;
            open = _source.IndexOf("{%", open + 1, StringComparison.Ordinal))
        {
            int end = MatchWord(open, "endraw");
            if (end < 0) continue;
            int close = end < _source.Length && _source[end] is '-' or '+' ? end + 1 : end;
            if (string.CompareOrdinal(_source, close, "%}", 0, 2) != 0) continue;
            _startsLine = _position > 0 && _source[_position - 1] == '\n';
            AddText(_source[_position..open], _source[open + 2], '%');
            MoveTo(open);
            Close(end, trimsNewline: true);
            return;
        }
        if (_position < _source.Length) throw new ChatTemplateException($"line {line}: raw has no endraw");
    }

    private void ReadTag(TemplateTokenKind begin, TemplateTokenKind endKind, string end, int line)
    {
        _tokens.Add(new(begin, end, line));
        Stack<char> brackets = new();
        while (true)
        {
            MoveTo(SkipSpace(_position));
            if (_position >= _source.Length) throw new ChatTemplateException($"line {line}: a tag has no end {end}");
            if (brackets.Count == 0 && IsTagEnd(end, endKind == TemplateTokenKind.BlockEnd))
            {
                _tokens.Add(new(endKind, end, _line));
                Close(_position, endKind == TemplateTokenKind.BlockEnd);
                return;
            }
            TemplateToken token = ExpressionLexer.Read(_source, _position, _line, out int next);
            if (token.Kind == TemplateTokenKind.Operator) Balance(brackets, token);
            _tokens.Add(token);
            MoveTo(next);
        }
    }

    private bool IsTagEnd(string end, bool allowsPlus)
    {
        char sign = _source[_position];
        return string.CompareOrdinal(_source, sign == '-' || (allowsPlus && sign == '+') ? _position + 1 : _position, end, 0, 2) == 0;
    }

    private static void Balance(Stack<char> brackets, TemplateToken token)
    {
        if (token.Text is "(" or "[" or "{") brackets.Push(token.Text switch { "(" => ')', "[" => ']', _ => '}' });
        else if (token.Text is ")" or "]" or "}")
        {
            if (brackets.Count == 0) throw new ChatTemplateException($"line {token.Line}: '{token.Text}' is not expected here");
            char expected = brackets.Pop();
            if (expected != token.Text[0])
                throw new ChatTemplateException($"line {token.Line}: '{expected}' is expected, not '{token.Text}'");
        }
    }
}
