namespace Ndif.Protocol;

/// <summary>The cache of the Hugging Face hub on this machine, in the layout of huggingface_hub.</summary>
/// <remarks>
/// The projects that read files of the hub compile this file.
/// <code>
/// models--org--name/refs/main              the commit of the branch "main" at the last download
/// models--org--name/snapshots/{commit}/    the files, as links into blobs/
/// </code>
/// </remarks>
internal static class HuggingFaceCache
{
    /// <summary>
    /// The root of the cache: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
    /// </summary>
    public static string Root => Variable("HF_HUB_CACHE") ?? Path.Combine(Home, "hub");

    /// <summary>HF_HOME, else XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface: the cache and the token are in it.</summary>
    public static string Home
    {
        get
        {
            if (Variable("HF_HOME") is { } home) return home;
            string cache = Variable("XDG_CACHE_HOME")
                ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            return Path.Combine(cache, "huggingface");
        }
    }

    /// <summary>The folder of a repository in a cache.</summary>
    public static string FolderOf(string root, string id) =>
        Path.Combine(root, "models--" + id.Replace("/", "--", StringComparison.Ordinal));

    /// <summary>The files of a repository at a revision; null if they are not in the cache.</summary>
    /// <param name="revision">A branch, tag or commit; null is "main".</param>
    public static (string Commit, string Path)? FindSnapshot(string root, string id, string? revision)
    {
        string folder = FolderOf(root, id), name = revision ?? "main";
        if (name.Contains("..", StringComparison.Ordinal) || Path.IsPathRooted(name)) return null;
        string reference = Path.Combine(folder, "refs", name);
        string commit = File.Exists(reference) ? File.ReadAllText(reference).Trim() : name;
        if (commit.Length == 0 || Path.GetFileName(commit) != commit) return null;
        string snapshot = Path.Combine(folder, "snapshots", commit);
        return Directory.Exists(snapshot) ? (commit, snapshot) : null;
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
