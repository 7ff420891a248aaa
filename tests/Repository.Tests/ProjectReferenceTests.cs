using System.Xml.Linq;

namespace Ndif.Repository.Tests;

/// <summary>Projects have only the references that the design allows (docs/ARCHITECTURE.md).</summary>
public sealed class ProjectReferenceTests
{
    private static readonly Dictionary<string, string[]> _allowedReferences = new()
    {
        ["Protocol"] = [],
        ["Tokenizers"] = [],
        ["Client"] = ["Protocol", "Tokenizers", "Client.Analyzers", "Client.Generator"], // the last two only at build time
        ["Client.Analyzers"] = [],
        ["Client.Generator"] = [],
        ["Dictionaries"] = ["Client"],
        ["Models"] = ["Protocol", "Tokenizers", "Models.Generator"], // the last one only at build time
        ["Models.Generator"] = [],
        ["Engine"] = ["Models", "Protocol", "Client"],
        ["Plots"] = ["Client"],
        ["Queue"] = ["Protocol"],
        ["Server"] = ["Queue", "Protocol", "Tokenizers"],
        ["Worker"] = ["Engine", "Queue", "Protocol"],
        ["Workbench"] = ["Client", "Plots", "Protocol"],
        ["Activations"] = ["Client"],
        ["Cli"] = ["Activations", "Client", "Engine", "Models", "Protocol", "Queue", "Server", "Tokenizers", "Workbench", "Worker"],
    };

    public static TheoryData<string> Projects => [.. _allowedReferences.Keys];

    [Theory, MemberData(nameof(Projects))]
    public void Project_ReferencesOnly_WhatTheDesignAllows(string project)
    {
        string[] references =
            [.. LoadProject(project).Descendants("ProjectReference")
                .Select(r => Path.GetFileNameWithoutExtension(r.Attribute("Include")!.Value))];
        Assert.Empty(references.Except(_allowedReferences[project]));
    }

    [Fact]
    public void EveryProject_IsKnownHere()
    {
        string[] found = [.. Directory.EnumerateDirectories(RepositoryFolder.PathOf("src")).Select(d => Path.GetFileName(d)!)];
        Assert.Equal(_allowedReferences.Keys.Order(StringComparer.Ordinal), found.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("Activations")]
    [InlineData("Client")]
    [InlineData("Dictionaries")]
    [InlineData("Protocol")]
    [InlineData("Tokenizers")]
    [InlineData("Workbench")]
    [InlineData("Plots")]
    [InlineData("Queue")]
    [InlineData("Server")]
    public void Project_NeedsNoTorch(string project)
    {
        Assert.DoesNotContain(LoadProject(project).Descendants("PackageReference"),
            p => p.Attribute("Include")!.Value.Contains("torch", StringComparison.OrdinalIgnoreCase));
        Assert.DoesNotContain(RepositoryFolder.Files($"src/{project}", "*.cs"),
            f => File.ReadAllText(f).Contains("using TorchSharp", StringComparison.Ordinal));
    }

    [Fact]
    public void Versions_AreCentral()
    {
        foreach (string project in RepositoryFolder.Files("", "*.csproj"))
            Assert.DoesNotContain(XDocument.Load(project).Descendants("PackageReference"), p => p.Attribute("Version") is not null);
    }

    private static XDocument LoadProject(string project) => XDocument.Load(RepositoryFolder.PathOf($"src/{project}/{project}.csproj"));
}
