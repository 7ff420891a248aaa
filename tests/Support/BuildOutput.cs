namespace Ndif.Tests.Support;

/// <summary>Programs of this repository in their own output folders, in the configuration in which the tests were built.</summary>
public static class BuildOutput
{
    /// <summary>The .NET host that runs the tests if the environment names it, else the one on the path.</summary>
    public static string Dotnet { get; } = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";

    /// <summary>The `ndif` tool.</summary>
    public static string Tool => Find("src/Cli", "ndif.dll");

    /// <summary>The client process of the end-to-end tests.</summary>
    public static string Client => Find("tests/EndToEnd.Client", "Ndif.EndToEnd.Client.dll");

    /// <summary>The chaos run.</summary>
    public static string Chaos => Find("tests/Chaos", "Ndif.Chaos.dll");

    /// <summary>The fuzzing tool.</summary>
    public static string Fuzz => Find("tests/Fuzz", "Ndif.Fuzz.dll");

    private static string Find(string project, string file)
    {
        // .../tests/EndToEnd.Tests/bin/Release/net10.0
        DirectoryInfo framework = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        string configuration = framework.Parent!.Name;
        string built = Path.Combine(RepositoryFolder.PathOf(project), "bin", configuration, framework.Name, file);
        return File.Exists(built) ? built
            : throw new FileNotFoundException($"{built} is missing. Build it: dotnet build -c {configuration} {project}");
    }
}
