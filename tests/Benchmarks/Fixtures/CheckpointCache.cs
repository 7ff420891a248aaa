namespace Ndif.Benchmarks.Fixtures;

/// <summary>Folders in the user's cache with random weights, written once and used again.</summary>
internal static class CheckpointCache
{
    public static string GetOrWrite(string name, Action<string> write)
    {
        string cache = Environment.GetFolderPath(
            Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify);
        string parent = Path.Combine(cache.Length > 0 ? cache : Path.GetTempPath(), "ndif", "benchmarks");
        string folder = Path.Combine(parent, name);
        if (Directory.Exists(folder)) return folder;
        Console.Error.WriteLine($"writing random weights of {name} ...");
        string fresh = Path.Combine(parent, $".{Guid.NewGuid():n}");
        Directory.CreateDirectory(fresh);
        write(fresh);
        try { Directory.Move(fresh, folder); }
        catch (IOException) when (Directory.Exists(folder)) { Directory.Delete(fresh, recursive: true); } // another process was first
        return folder;
    }
}
