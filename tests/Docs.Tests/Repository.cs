namespace Ndif.Docs.Tests;

/// <summary>The documents of the repository.</summary>
internal static class Repository
{
    public static string Read(string file) => File.ReadAllText(RepositoryFolder.PathOf(file));

    /// <summary>The pages of a folder of docs, by their path from the root.</summary>
    public static IEnumerable<string> Pages(string folder) =>
        Directory.EnumerateFiles(RepositoryFolder.PathOf(folder), "*.md")
            .Select(f => $"{folder}/{Path.GetFileName(f)}").Order(StringComparer.Ordinal);
}
