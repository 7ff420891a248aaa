using System.Reflection;

namespace Ndif.Cli.Tests;

/// <summary>
/// A program that imports several namespaces of the packages must be able to name every public type: two of one name are ambiguous
/// (CS0104).
/// </summary>
public sealed class PublicTypeNameTests
{
    /// <summary>The data behind the types of the client that have these names; a user's program does not need it.</summary>
    private const string Messages = "Ndif.Protocol.Messages";

    private static readonly Assembly[] _packages =
    [
        typeof(DType).Assembly, typeof(LanguageModel).Assembly, typeof(Ndif.Tokenizers.HuggingFaceTokenizer).Assembly,
        typeof(Ndif.Models.ModelOutput).Assembly, typeof(NNsight).Assembly, typeof(EmbeddedService).Assembly,
    ];

    [Fact]
    public void PublicTypes_OfDifferentNamespaces_HaveDifferentNames() =>
        Assert.Empty(_packages.SelectMany(package => package.GetExportedTypes())
            .Where(type => !type.IsNested && type.Namespace is not null and not Messages)
            .GroupBy(type => type.Name)
            .Where(types => types.Select(type => type.Namespace).Distinct().Skip(1).Any())
            .Select(types => types.Key).Order(StringComparer.Ordinal));
}
