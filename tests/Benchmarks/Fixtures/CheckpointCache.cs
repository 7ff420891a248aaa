namespace Ndif.Benchmarks.Fixtures;

/// <summary>Folders with random weights in the user's cache, which are written once and reused.</summary>
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
        string temporary = Path.Combine(parent, $".{Guid.NewGuid():n}");
        Directory.CreateDirectory(temporary);
        write(temporary);
        try { Directory.Move(temporary, folder); }
        // another process has written the folder in the meantime
        catch (IOException) when (Directory.Exists(folder)) { Directory.Delete(temporary, recursive: true); }
        return folder;
    }
}
