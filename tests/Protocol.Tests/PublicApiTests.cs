using System.CodeDom.Compiler;
using System.Reflection;
using System.Runtime.CompilerServices;
using Google.Protobuf;
using Ndif.Protocol.Ops;
using PublicApiGenerator;

namespace Ndif.Protocol.Tests;

/// <summary>
/// The public API of the assemblies that users reference. Code that protoc generates is not part of it: Wire/WireFormatTests.cs approves
/// the messages.
/// </summary>
public sealed class PublicApiTests
{
    private const string ApproveVariable = "NDIF_APPROVE";

    [Theory]
    [InlineData(typeof(Value))]
    [InlineData(typeof(OpTable))]
    [InlineData(typeof(Plots))]
    [InlineData(typeof(CollectOptions))]
    [InlineData(typeof(Dictionaries.Sae))]
    public void PublicApi_IsTheApprovedOne(Type type)
    {
        Assembly assembly = type.Assembly;
        string name = assembly.GetName().Name!;
        string current = assembly.GeneratePublicApi(new ApiGeneratorOptions
        {
            IncludeAssemblyAttributes = false,
            IncludeTypes = [.. assembly.GetExportedTypes().Where(exported => !IsGenerated(exported))],
        }).ReplaceLineEndings("\n");
        if (Environment.GetEnvironmentVariable(ApproveVariable) == "1") File.WriteAllText(GetApprovedPath(name), current + "\n");
        else AssertEqual(name, ReadApproved(name), current);
    }

    private static void AssertEqual(string name, string approved, string current)
    {
        string[] before = Lines(approved), after = Lines(current);
        string[] removed = [.. before.Except(after)], added = [.. after.Except(before)];
        Assert.True(approved.Trim() == current.Trim(),
            $"The public API of {name} has changed. A removed or changed line breaks users.\n"
            + $"Removed:\n{string.Join('\n', removed)}\nAdded:\n{string.Join('\n', added)}\n"
            + $"To accept the change, run this test with {ApproveVariable}=1 and commit tests/Protocol.Tests/Approved/{name}.txt.");
    }

    private static string[] Lines(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static string ReadApproved(string name)
    {
        using Stream? resource = typeof(PublicApiTests).Assembly.GetManifestResourceStream(name);
        if (resource is null) return "";
        using var reader = new StreamReader(resource);
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    private static string GetApprovedPath(string name, [CallerFilePath] string file = "") =>
        Path.Combine(Path.GetDirectoryName(file)!, "Approved", $"{name}.txt");

    /// <summary>Messages, their enums, descriptors and gRPC services.</summary>
    private static bool IsGenerated(Type type) =>
        (type.DeclaringType is { } outer && IsGenerated(outer))
        || typeof(IMessage).IsAssignableFrom(type)
        || type.Name.EndsWith("Reflection", StringComparison.Ordinal)
        || type.GetFields().Any(field => field.GetCustomAttribute<Google.Protobuf.Reflection.OriginalNameAttribute>() is not null)
        || type.GetMembers(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance
            | BindingFlags.DeclaredOnly)
            .Any(member => member.GetCustomAttribute<GeneratedCodeAttribute>() is { Tool: "grpc_csharp_plugin" });
}
