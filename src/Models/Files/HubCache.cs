using Ndif.Models.Files.Hub;
using Ndif.Protocol;

namespace Ndif.Models.Files;

/// <summary>The models in the cache of the hub (<see cref="HuggingFaceCache"/>). <see cref="HubDownload"/> writes it.</summary>
internal static class HubCache
{
    /// <inheritdoc cref="HuggingFaceCache.Root"/>
    public static string Root => HuggingFaceCache.Root;

    /// <inheritdoc cref="HuggingFaceCache.Home"/>
    internal static string Home => HuggingFaceCache.Home;

    /// <inheritdoc cref="HuggingFaceCache.FolderOf"/>
    internal static string FolderOf(string root, string id) => HuggingFaceCache.FolderOf(root, id);

    /// <summary>Finds the snapshot of a model at a revision, or returns null.</summary>
    /// <param name="root">The root of the cache; null is <see cref="Root"/>.</param>
    public static ModelFolder? Find(string id, string? revision, string? root = null) =>
        HuggingFaceCache.FindSnapshot(root ?? Root, id, revision) is var (commit, path) ? new ModelFolder(id, commit, path) : null;

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
}
