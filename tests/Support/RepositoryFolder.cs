namespace Ndif.Tests.Support;

/// <summary>The checkout that the tests were built from.</summary>
public static class RepositoryFolder
{
    /// <summary>The folder of NDIF.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The path of a file or folder of the repository.</summary>
    /// <param name="path">From the root, with slashes: "deploy/models.yaml".</param>
    public static string PathOf(string path) => Path.Combine(Root, path);

    /// <summary>The files below a folder that match a pattern, without build outputs.</summary>
    /// <param name="folder">From the root; "" for the whole repository.</param>
    public static string[] Files(string folder, string pattern) =>
        [.. Directory.EnumerateFiles(PathOf(folder), pattern, SearchOption.AllDirectories).Where(file => !IsBuildOutput(file))
            .Order(StringComparer.Ordinal)];

    private static bool IsBuildOutput(string file) =>
        Path.GetRelativePath(Root, file).Split(Path.DirectorySeparatorChar).Any(part => part is "bin" or "obj");

    private static string FindRoot()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "NDIF.sln"))) folder = folder.Parent;
        return folder?.FullName ?? throw new DirectoryNotFoundException($"NDIF.sln is in no folder above {AppContext.BaseDirectory}.");
    }
}
