using System.Text;
using Ndif.Protocol;

namespace Ndif;

/// <summary>Formats an <see cref="Error"/> for people.</summary>
public static class ErrorText
{
    /// <summary>
    /// The message, then the line of the user's code (file, line and member), then the hint: one per line, where the error has them.
    /// </summary>
    public static string Format(Error error)
    {
        var text = new StringBuilder(error.Message);
        if (error.Line is { Line: > 0 } line)
        {
            text.Append("\n  at ").Append(line.File).Append(':').Append(line.Line);
            if (line.Member.Length > 0) text.Append(" in ").Append(line.Member);
        }
        if (error.Hint.Length > 0) text.Append("\n  ").Append(error.Hint);
        return text.ToString();
    }

    /// <summary>
    /// A text from outside as an error or a log line may repeat it: shortened, and on one line, so that it cannot be mistaken for a line of
    /// its own.
    /// </summary>
    public static string Truncate(string text, int maxLength = 200)
    {
        string cut = text.Length <= maxLength ? text : text[..maxLength] + "…";
        return cut.Any(char.IsControl) ? string.Concat(cut.Select(letter => char.IsControl(letter) ? '?' : letter)) : cut;
    }
}
