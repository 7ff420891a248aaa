namespace Ndif.Parity.Tests;

/// <summary>The folder with genuine reference outputs, which is not part of the repository.</summary>
internal static class SharedFolder
{
    /// <summary>NDIF_SHARED, else `shared` beside one of the folders above the tests; null if there is none.</summary>
    public static string? Path { get; } = Find();

    public static string? Golden => Path is null ? null : System.IO.Path.Combine(Path, "golden");

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("NDIF_SHARED") is { Length: > 0 } named) return Directory.Exists(named) ? named : null;
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string shared = System.IO.Path.Combine(folder.FullName, "shared");
            if (Directory.Exists(System.IO.Path.Combine(shared, "golden"))) return shared;
        }
        return null;
    }
}
