namespace Ndif.Docs.Tests;

/// <summary>The checkout that the tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string PathOf(string file) => Path.Combine(Root, file);

    public static string Read(string file) => File.ReadAllText(PathOf(file));

    /// <summary>The pages of a folder of docs, by their path from the root.</summary>
    public static IEnumerable<string> Pages(string folder) =>
        Directory.EnumerateFiles(PathOf(folder), "*.md").Select(f => $"{folder}/{Path.GetFileName(f)}").Order(StringComparer.Ordinal);

    private static string FindRoot()
    {
        string? at = AppContext.BaseDirectory;
        while (at is not null && !File.Exists(Path.Combine(at, "NDIF.sln"))) at = Path.GetDirectoryName(at);
        return at ?? throw new InvalidOperationException("The tests run from outside of the repository.");
    }
}
