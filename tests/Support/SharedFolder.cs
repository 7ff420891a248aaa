namespace Ndif.Tests.Support;

/// <summary>The folder with reference outputs of Hugging Face, which is not part of the repository.</summary>
public static class SharedFolder
{
    /// <summary>Why a test is skipped where the folder is missing.</summary>
    public const string MissingReason = "The reference outputs are missing: NDIF_SHARED is not set, and no folder above has shared/golden.";

    /// <summary>NDIF_SHARED, else the folder `shared` in one of the folders above the tests; null if there is none.</summary>
    public static string? Path { get; } = FindFolder();

    /// <summary>The folder of reference outputs; null if there is none.</summary>
    public static string? Golden => Find("golden");

    /// <summary>A file or folder in the shared folder; null if it does not exist.</summary>
    public static string? Find(params ReadOnlySpan<string> parts)
    {
        if (Path is null) return null;
        string path = System.IO.Path.Combine([Path, .. parts]);
        return System.IO.Path.Exists(path) ? path : null;
    }

    private static string? FindFolder()
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
