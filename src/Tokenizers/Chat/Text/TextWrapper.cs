using System.Text.RegularExpressions;

namespace Ndif.Tokenizers.Chat.Text;

/// <summary>Breaks a line into lines of a width, as Python's module textwrap does for the filter wordwrap.</summary>
/// <remarks>docs.python.org/3/library/textwrap.html, with expand_tabs and replace_whitespace off</remarks>
internal sealed partial class TextWrapper(int width, bool breaksLongWords, bool breaksOnHyphens)
{
    public List<string> Wrap(string line)
    {
        if (width <= 0) throw new ChatTemplateException($"the width of wordwrap must be positive, not {width}");
        Stack<string> chunks = new(SplitChunks(line).Reverse());
        List<string> lines = [];
        while (chunks.Count > 0)
        {
            List<string> current = [];
            int length = 0;
            if (lines.Count > 0 && IsBlank(chunks.Peek())) chunks.Pop();
            while (chunks.Count > 0 && length + CodePoints.Count(chunks.Peek()) <= width)
            {
                length += CodePoints.Count(chunks.Peek());
                current.Add(chunks.Pop());
            }
            if (chunks.Count > 0 && CodePoints.Count(chunks.Peek()) > width) BreakLongWord(chunks, current, length);
            if (current.Count > 0 && IsBlank(current[^1])) current.RemoveAt(current.Count - 1);
            if (current.Count > 0) lines.Add(string.Concat(current));
        }
        return lines;
    }

    private void BreakLongWord(Stack<string> chunks, List<string> current, int length)
    {
        int room = width < 1 ? 1 : width - length;
        if (breaksLongWords)
        {
            string chunk = chunks.Pop();
            int end = room;
            if (breaksOnHyphens && CodePoints.Count(chunk) > room)
            {
                string head = CodePoints.Substring(chunk, 0, room);
                int hyphen = head.LastIndexOf('-');
                if (hyphen > 0 && head[..hyphen].Any(c => c != '-')) end = CodePoints.FromUtf16(chunk, hyphen + 1);
            }
            int cut = CodePoints.ToUtf16(chunk, end);
            current.Add(chunk[..cut]);
            chunks.Push(chunk[cut..]);
        }
        else if (current.Count == 0) current.Add(chunks.Pop());
    }

    private IEnumerable<string> SplitChunks(string line) =>
        (breaksOnHyphens ? WordPattern() : SpacePattern()).Split(line).Where(chunk => chunk.Length > 0);

    private static bool IsBlank(string chunk) => chunk.All(PythonCharacters.IsSpace);

    [GeneratedRegex(@"([\t\n\x0b\x0c\r ]+|(?<=[\w!""'&.,?])-{2,}(?=\w)|[^\t\n\x0b\x0c\r ]+?(?:-(?:(?<=[^\d\W]{2}-)|(?<=[^\d\W]-[^\d\W]-))"
        + @"(?=[^\d\W]-?[^\d\W])|(?=[\t\n\x0b\x0c\r ]|\z)|(?<=[\w!""'&.,?])(?=-{2,}\w)))",
        RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 2000)]
    private static partial Regex WordPattern();

    [GeneratedRegex(@"([\t\n\x0b\x0c\r ]+)", RegexOptions.CultureInvariant)]
    private static partial Regex SpacePattern();
}
