namespace Ndif.Repository.Tests;

/// <summary>Type names are unique, so that they can be searched for, and namespaces follow folders.</summary>
public sealed class NamingTests
{
    /// <summary>Type names that every project may declare.</summary>
    private static readonly string[] _namesOfEveryProject = ["Log", "Telemetry"];

    /// <summary>
    /// Folders and files whose types are in another namespace. The API of the client is in `Ndif`, so that users need only one using
    /// directive, and so is that of the pictures, whose class is `Ndif.Plots`; SourcePaths and SourcePrinter extend generated messages,
    /// whose namespace is `Ndif.Protocol`.
    /// </summary>
    private static readonly Dictionary<string, string[]> _namespaceExceptions = new()
    {
        ["src/Cli/EmbeddedService.cs"] = ["Ndif"],
        ["src/Activations"] = ["Ndif", "Ndif.Activations"],
        ["src/Client"] = ["Ndif", "Ndif.Recording", "Ndif.Remote", "Ndif.Running"],
        ["src/Engine/NNsight.cs"] = ["Ndif"],
        ["src/Engine/TensorConversions.cs"] = ["Ndif"],
        ["src/Plots"] = ["Ndif", "Ndif.Drawing"],
        ["src/Protocol/Data"] = ["Ndif"],
        ["src/Protocol/Errors"] = ["Ndif"],
        ["src/Protocol/Files/Safetensors.cs"] = ["Ndif"],
        ["src/Protocol/Source"] = ["Ndif.Protocol"],
        ["tests/Plots.Tests"] = ["Ndif.Drawing.Tests"],
    };

    [Fact]
    public void TypesOfDifferentNamespaces_HaveDifferentNames()
    {
        string[] duplicates = [.. SourceFile.Under("src")
            .SelectMany(file => file.TypeNames.Select(name => (Name: name, In: file.Namespace ?? file.Path)))
            .Distinct()
            .GroupBy(type => type.Name, StringComparer.Ordinal)
            .Where(types => types.Count() > 1 && !_namesOfEveryProject.Contains(types.Key))
            .Select(types => $"{types.Key} is in {string.Join(", ", types.Select(type => type.In).Order(StringComparer.Ordinal))}")];
        Assert.True(duplicates.Length == 0, string.Join('\n', duplicates));
    }

    [Fact]
    public void Namespaces_FollowFolders()
    {
        string[] strays = [.. SourceFile.Under("src").Concat(SourceFile.Under("tests"))
            .Where(file => file.Namespace is { } declared && !AllowedNamespaces(file.Path).Contains(declared))
            .Select(file => $"{file.Path}: {file.Namespace}")];
        Assert.True(strays.Length == 0, string.Join('\n', strays));
    }

    [Fact]
    public void TheExceptions_AreNeeded() =>
        Assert.All(_namespaceExceptions, exception => Assert.All(exception.Value, name => Assert.Contains(SourceFile.All,
            file => IsIn(file.Path, exception.Key) && file.Namespace == name)));

    private static string[] AllowedNamespaces(string path)
    {
        string[] folders = path.Split('/')[1..^1]; // without src or tests, and the file
        string root = folders[0].StartsWith("Support", StringComparison.Ordinal) ? "Ndif.Tests." : "Ndif.";
        return [root + string.Join('.', folders), .. _namespaceExceptions.Where(exception => IsIn(path, exception.Key))
            .SelectMany(exception => exception.Value)];
    }

    private static bool IsIn(string path, string fileOrFolder) =>
        path == fileOrFolder || path.StartsWith(fileOrFolder + "/", StringComparison.Ordinal);
}
