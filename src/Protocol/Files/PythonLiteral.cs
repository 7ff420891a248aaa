using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Ndif.Protocol.Files;

/// <summary>
/// Reads the literals of Python that the header of a .npy file has: dictionaries, tuples, lists, texts, whole numbers, flags.
/// </summary>
internal sealed class PythonLiteral(string text)
{
    private const int MaxDepth = 8;

    private int _at;

    /// <summary>Reads a dictionary from text to text (string), number (long), flag (bool), or tuple or list (object[]) of these.</summary>
    /// <returns>False if the text is something else, or something follows the dictionary.</returns>
    public bool TryReadDictionary([NotNullWhen(true)] out Dictionary<string, object>? entries)
    {
        entries = [];
        if (!Take('{')) return false;
        while (!Take('}'))
        {
            if (ReadText() is not { } key || !Take(':') || ReadValue(0) is not { } value || !entries.TryAdd(key, value)) return false;
            if (!Take(',') && Peek() != '}') return false;
        }
        return Peek() == '\0';
    }

    private object? ReadValue(int depth) => Peek() switch
    {
        '\'' or '"' => ReadText(),
        '(' => ReadItems('(', ')', depth),
        '[' => ReadItems('[', ']', depth),
        _ => ReadWord(),
    };

    private object[]? ReadItems(char open, char close, int depth)
    {
        List<object> items = [];
        if (depth == MaxDepth || !Take(open)) return null;
        while (!Take(close))
        {
            if (ReadValue(depth + 1) is not { } item) return null;
            items.Add(item);
            if (!Take(',') && Peek() != close) return null;
        }
        return [.. items];
    }

    private string? ReadText()
    {
        char quote = Peek();
        if (quote is not ('\'' or '"')) return null;
        int end = text.IndexOf(quote, _at + 1);
        if (end < 0 || text.IndexOf('\\', _at, end - _at) >= 0) return null; // no known header has an escape
        string content = text[(_at + 1)..end];
        _at = end + 1;
        return content;
    }

    private object? ReadWord()
    {
        int start = _at;
        while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '-' or '+')) _at++;
        return text[start.._at] switch
        {
            "True" => true,
            "False" => false,
            var word when long.TryParse(word.TrimEnd('L'), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) =>
                number, // Python 2 wrote 3L
            _ => null,
        };
    }

    private bool Take(char expected)
    {
        if (Peek() != expected) return false;
        _at++;
        return true;
    }

    /// <summary>The next character that is no space; a zero at the end.</summary>
    private char Peek()
    {
        while (_at < text.Length && char.IsWhiteSpace(text[_at])) _at++;
        return _at < text.Length ? text[_at] : '\0';
    }
}
