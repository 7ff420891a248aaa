using System.Text.RegularExpressions;
using Ndif.Protocol;

namespace Ndif.Dictionaries;

/// <summary>Finds the files of a dictionary: in a folder, or in the cache of the Hugging Face hub.</summary>
internal static partial class DictionaryFolder
{
    /// <summary>The folder of a path, or of an id with the folder in its repository: "org/name/blocks.8.hook_resid_pre".</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: there is none on this machine.</exception>
    public static string Find(string folderOrId)
    {
        if (folderOrId.Length > 0 && Directory.Exists(folderOrId)) return Path.GetFullPath(folderOrId);
        return FindInCache(folderOrId, null) is { } path && Directory.Exists(path) ? path : throw Unknown(folderOrId);
    }

    /// <summary>A file of "hf://org/name/path?revision=main", or of a path relative to a folder.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: it is not on this machine.</exception>
    public static string FindFile(string folder, string reference)
    {
        string? path = HubFile().Match(reference) is { Success: true } match
            ? FindInCache(match.Groups["path"].Value, match.Groups["revision"] is { Success: true } revision ? revision.Value : null)
            : Path.GetFullPath(Path.Combine(folder, reference));
        return File.Exists(path) ? path : throw Unknown(reference);
    }

    private static string? FindInCache(string reference, string? revision)
    {
        if (!HubPath().IsMatch(reference) || reference.Contains("..", StringComparison.Ordinal)) return null;
        string[] parts = reference.Split('/', 3);
        string id = $"{parts[0]}/{parts[1]}";
        return HuggingFaceCache.FindSnapshot(HuggingFaceCache.Root, id, revision) is not var (_, snapshot) ? null
            : parts.Length == 3 ? Path.Combine(snapshot, parts[2]) : snapshot;
    }

    private static Exception Unknown(string reference)
    {
        string[] parts = reference.Replace("hf://", "", StringComparison.Ordinal).Split('?')[0].Split('/', 3);
        string download = parts.Length < 2 ? "Give a folder, or an id such as org/name/folder."
            : $"Download it into the cache: hf download {parts[0]}/{parts[1]}"
                + (parts.Length == 3 ? $" --include \"{parts[2]}*\"" : "") + "; or give a folder.";
        return Errors.CreateException(ErrorCode.UnknownModel,
            $"The dictionary `{reference}` is not on this machine: there is no such path, and it is not in the cache "
            + $"{HuggingFaceCache.Root} (set by HF_HUB_CACHE or HF_HOME).", download);
    }

    /// <summary>An id of two segments of plain characters, and a path in the repository.</summary>
    [GeneratedRegex(@"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.=+-]+)*\z")]
    private static partial Regex HubPath();

    [GeneratedRegex(@"^hf://(?<path>[^?]+)(\?revision=(?<revision>.+))?\z")]
    private static partial Regex HubFile();
}
