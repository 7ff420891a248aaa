namespace Ndif.Processes;

/// <summary>What the build made, where it made it: found from these tests' own folder.</summary>
public static class BuildOutput
{
    /// <summary>The .NET host that runs these tests, if it says so; else the one on the path.</summary>
    public static string Dotnet { get; } = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } path ? path : "dotnet";

    /// <summary>The `ndif` tool.</summary>
    public static string Tool => Find("src/Cli", "ndif.dll");

    /// <summary>A remote user's program.</summary>
    public static string Client => Find("tests/EndToEnd/Client", "Ndif.EndToEnd.Client.dll");

    /// <summary>The chaos run.</summary>
    public static string Chaos => Find("tests/Chaos", "Ndif.Chaos.dll");

    /// <summary>The fuzzing tool.</summary>
    public static string Fuzz => Find("tests/Fuzz", "Ndif.Fuzz.dll");

    /// <summary>The checkout.</summary>
    public static string Repository
    {
        get
        {
            DirectoryInfo? root = new(AppContext.BaseDirectory);
            while (root is not null && !File.Exists(Path.Combine(root.FullName, "NDIF.sln"))) root = root.Parent;
            return root?.FullName ?? throw new DirectoryNotFoundException($"NDIF.sln is in no folder above {AppContext.BaseDirectory}.");
        }
    }

    private static string Find(string project, string file)
    {
        DirectoryInfo here = new(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar)); // .../tests/EndToEnd/bin/Release/net10.0
        for (DirectoryInfo? root = here; root is not null; root = root.Parent)
        {
            if (!File.Exists(Path.Combine(root.FullName, "NDIF.sln"))) continue;
            string built = Path.Combine(root.FullName, project, "bin", here.Parent!.Name, here.Name, file);
            return File.Exists(built) ? built : throw new FileNotFoundException($"{built} is missing. Build it: dotnet build -c {here.Parent.Name} {project}");
        }
        throw new DirectoryNotFoundException($"NDIF.sln is in no folder above {here.FullName}.");
    }
}
