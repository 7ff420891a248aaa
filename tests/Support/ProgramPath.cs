namespace Ndif.Tests.Support;

/// <summary>Finds the programs that tests start.</summary>
public static class ProgramPath
{
    /// <summary>The first of these programs that is in a folder of PATH; null if none is.</summary>
    public static string? Find(params IEnumerable<string> names)
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return names.SelectMany(name => folders.Select(folder => Path.Combine(folder, name))).FirstOrDefault(File.Exists);
    }
}
