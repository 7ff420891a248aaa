using Ndif.Models.Files.Hub;

namespace Ndif.Models.Files;

/// <summary>The cache of hub models in the layout of huggingface_hub. <see cref="HubDownload"/> writes it.</summary>
/// <remarks>
/// <code>
/// models--org--name/refs/main              the commit of the branch "main" at the last download
/// models--org--name/snapshots/{commit}/    the files, as links into blobs/
/// </code>
/// </remarks>
internal static class HubCache
{
    /// <summary>
    /// The root of the cache: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
    /// </summary>
    public static string Root
    {
        get
        {
            if (Variable("HF_HUB_CACHE") is { } hub) return hub;
            return Path.Combine(Home, "hub");
        }
    }

    /// <summary>HF_HOME, else XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface: the cache and the token are in it.</summary>
    internal static string Home
    {
        get
        {
            if (Variable("HF_HOME") is { } home) return home;
            string cache = Variable("XDG_CACHE_HOME")
                ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
            return Path.Combine(cache, "huggingface");
        }
    }

    /// <summary>The folder of a model in a cache.</summary>
    internal static string FolderOf(string root, string id) =>
        Path.Combine(root, "models--" + id.Replace("/", "--", StringComparison.Ordinal));

    /// <summary>Finds the snapshot of a model at a revision, or returns null.</summary>
    /// <param name="root">The root of the cache; null is <see cref="Root"/>.</param>
    public static ModelFolder? Find(string id, string? revision, string? root = null)
    {
        string model = FolderOf(root ?? Root, id);
        string name = revision ?? "main";
        if (name.Contains("..", StringComparison.Ordinal) || Path.IsPathRooted(name)) return null;
        string reference = Path.Combine(model, "refs", name);
        string commit = File.Exists(reference) ? File.ReadAllText(reference).Trim() : name;
        if (commit.Length == 0 || Path.GetFileName(commit) != commit) return null;
        string snapshot = Path.Combine(model, "snapshots", commit);
        return Directory.Exists(snapshot) ? new ModelFolder(id, commit, snapshot) : null;
    }

    /// <summary>The ids of all models with a snapshot.</summary>
    public static IEnumerable<string> Models(string? root = null) =>
        !Directory.Exists(root ?? Root) ? [] : Directory.EnumerateDirectories(root ?? Root, "models--*")
            .Where(model => Directory.Exists(Path.Combine(model, "snapshots")))
            .Select(model => Path.GetFileName(model)["models--".Length..].Replace("--", "/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal);

    /// <summary>The commit of a path that is a snapshot in a cache; otherwise empty.</summary>
    internal static string RevisionOf(string path)
    {
        DirectoryInfo folder = new(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        return folder.Parent?.Name == "snapshots" && folder.Parent.Parent?.Name.StartsWith("models--", StringComparison.Ordinal) == true
            ? folder.Name : "";
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
