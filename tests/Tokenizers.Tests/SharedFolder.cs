namespace Ndif.Tokenizers.Tests;

/// <summary>
/// The folder with the reference outputs of Hugging Face libraries: that of the variable NDIF_SHARED, or "shared" in a parent folder.
/// </summary>
internal static class SharedFolder
{
    private static readonly string? _path = Find();

    /// <summary>Returns the path of a file or folder in the shared folder. If it does not exist, the test is skipped.</summary>
    public static string Path(params ReadOnlySpan<string> parts)
    {
        Assert.SkipWhen(_path is null, "the reference outputs are not here: no folder above has shared/golden, and NDIF_SHARED is not set");
        string path = System.IO.Path.Combine([_path!, .. parts]);
        Assert.SkipUnless(System.IO.Path.Exists(path), $"the shared folder has no {string.Join('/', parts!)}");
        return path;
    }

    private static string? Find()
    {
        if (Environment.GetEnvironmentVariable("NDIF_SHARED") is { Length: > 0 } configured) return configured;
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (Directory.Exists(System.IO.Path.Combine(folder.FullName, "shared", "golden")))
                return System.IO.Path.Combine(folder.FullName, "shared");
        return null;
    }
}
