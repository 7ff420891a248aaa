using Ndif.Models.Files.Gguf;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>The error for a model without weights in a known file, on disk or on the hub.</summary>
internal static class MissingWeights
{
    /// <param name="location">The folder or repository, as the subject of the message.</param>
    /// <param name="files">The names of the files there.</param>
    /// <param name="hint">What to do.</param>
    public static Exception CreateException(string location, IEnumerable<string> files, string hint)
    {
        string[] others = [.. files.Where(file => Checkpoint.IsPickle(file)
            || GgufFile.IsName(file)).Order(StringComparer.Ordinal).Take(3)];
        string found = others.Length == 0 ? "" : $" It has {string.Join(", ", others.Select(file => $"`{file}`"))}.";
        return Errors.CreateException(ErrorCode.BadCheckpoint,
            $"{location} has neither {string.Join(" nor ", Checkpoint.FirstFileNames)}.{found}", hint);
    }
}
