using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// Removes the paths of the server's file system from errors that users see: of each path only its last part stays. An address, such as
/// https://host/path or /v1/blobs/, is no path of a file system.
/// </summary>
public static partial class ServerPaths
{
    /// <summary>The same text, with the last part of each path in place of the path.</summary>
    public static string Remove(string text) => text.Contains('/', StringComparison.Ordinal) || text.Contains('\\',
        StringComparison.Ordinal)
        ? AbsolutePath().Replace(text, match => match.Groups["name"].Value) : text;

    /// <summary>The same error if it names no path, or a copy without them.</summary>
    public static Error Remove(Error error)
    {
        (string message, string hint) = (Remove(error.Message), Remove(error.Hint));
        if (message == error.Message && hint == error.Hint) return error;
        Error copy = error.Clone();
        (copy.Message, copy.Hint) = (message, hint);
        return copy;
    }

    /// <summary>
    /// "/data/models/a.json" or "C:\data\a.json": at least two parts, at the beginning of a word.
    /// </summary>
    [GeneratedRegex("""(?<![\w/:.\\~-])(?:/(?!v1/)|[A-Za-z]:[\\/]|\\\\)(?:[^\s/\\'"`:;,()<>]+[/\\])+(?<name>[^\s/\\'"`:;,()<>]*)""")]
    private static partial Regex AbsolutePath();
}
