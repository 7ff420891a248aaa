using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Ndif.Models.Architectures;
using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Files.Gguf;
using Ndif.Models.Layers;
using Ndif.Protocol;

namespace Ndif.Models.Tests.Architectures;

/// <summary>
/// The table of docs/reference/models.md is what the code has. NDIF_APPROVE=1 writes it; the last column needs the reference outputs.
/// </summary>
public sealed partial class ModelReferenceTests
{
    private const string Page = "docs/reference/models.md", Header = """
        | architecture | model_type | task | base model | fused on a CPU | GGUF | file | compared with |
        | --- | --- | --- | --- | --- | --- | --- | --- |

        """;

    [Fact]
    public void TheTable_IsWhatTheCodeHas()
    {
        string file = RepositoryFolder.PathOf(Page), page = File.ReadAllText(file), table = Table().Match(page).Value;
        string[] rows = [.. Rows()];
        if (Environment.GetEnvironmentVariable("NDIF_APPROVE") == "1" && SharedFolder.Path is not null)
        {
            File.WriteAllText(file, page.Replace(table, $"{Header}{string.Join('\n', rows)}\n", StringComparison.Ordinal));
            return;
        }
        string[] written = [.. table.Split('\n', StringSplitOptions.RemoveEmptyEntries).Skip(2)];
        if (SharedFolder.Path is null) (rows, written) = (WithoutLastColumn(rows), WithoutLastColumn(written));
        Assert.Equal(rows, written);
    }

    /// <summary>Models that are made from a causal one, by Hugging Face's names: without a head, or with one that classifies.</summary>
    [Theory]
    [MemberData(nameof(Derived))]
    public void AModelWithAnotherHead_IsBuiltFromTheCausalOne(string causal, string derived)
    {
        string config = TinyConfigs.OfArchitecture(causal).Replace($"\"{causal}\"", $"\"{derived}\"", StringComparison.Ordinal);
        PreTrainedModel model = ArchitectureCatalog.Build(ConfigReader.Parse(Encoding.UTF8.GetBytes(config), "config.json"));
        Assert.Equal(derived, model.ClassName);
        Assert.NotNull(model.Modules.SingleOrDefault(module => module.Path == model.Names.Layers && module.IsList));
        Assert.Contains(model.Modules, module => module.Path == model.Names.Embed);
    }

    public static TheoryData<string, string> Derived
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (var (architecture, model) in Architectures())
                if (BaseModelOf(model) is { } baseModel)
                    foreach (string head in (string[])["Model", "ForSequenceClassification", "ForTokenClassification"])
                        data.Add(architecture.Name, $"{baseModel[..^"Model".Length]}{head}");
            return data;
        }
    }

    private static IEnumerable<(ArchitectureAttribute Architecture, PreTrainedModel Model)> Architectures() =>
        from type in typeof(ArchitectureAttribute).Assembly.GetTypes()
        let architecture = type.GetCustomAttribute<ArchitectureAttribute>()
        where architecture is not null
        orderby architecture.Name.ToUpperInvariant()
        let config = TinyConfigs.OfArchitecture(architecture.Name)
        select (architecture, ArchitectureCatalog.Build(ConfigReader.Parse(Encoding.UTF8.GetBytes(config), "config.json")));

    private static IEnumerable<string> Rows()
    {
        string folder = RepositoryFolder.PathOf("src/Models/Architectures");
        (string Name, string Text)[] files =
            [.. Directory.EnumerateFiles(folder, "*.cs").Select(file => (Path.GetFileName(file), File.ReadAllText(file)))];
        ILookup<string, string> compared = References();
        foreach (var (architecture, model) in Architectures())
        {
            string file = files.Single(f => f.Text.Contains($"[Architecture(\"{architecture.Name}\"", StringComparison.Ordinal)).Name;
            yield return $"| {string.Join(" | ", (string?[])[
                architecture.Name, architecture.ModelType, model.Task.ToName(), BaseModelOf(model), Fused(model),
                GgufArchitecture.KnownClasses.Contains(architecture.Name) ? "yes" : "", $"[{file}](../../src/Models/Architectures/{file})",
                string.Join(", ", compared[architecture.Name].Order(StringComparer.Ordinal))])} |";
        }
    }

    /// <summary>The class of the model without its head, which a checkpoint may name; null if there is none.</summary>
    private static string? BaseModelOf(PreTrainedModel model) => model is DecoderForCausalLM causal
        && causal.BaseModel.ClassName.EndsWith("Model", StringComparison.Ordinal) ? causal.BaseModel.ClassName : null;

    /// <summary>What runs in one kernel where no program hooks its parts.</summary>
    private static string Fused(PreTrainedModel model) => string.Join(", ",
        new[] { ("attention", typeof(FusedAttention)), ("mlp", typeof(FusedMlp)) }
            .Where(kind => model.Modules.Any(module => Fields(module.GetType()).Any(field =>
                field.FieldType == kind.Item2 && field.GetValue(module) is not null))).Select(kind => kind.Item1));

    private static IEnumerable<FieldInfo> Fields(Type type)
    {
        for (Type? at = type; at is not null && at != typeof(SiteModule); at = at.BaseType)
            foreach (FieldInfo field in at.GetFields(BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
                yield return field;
    }

    /// <summary>The reference checkpoints of each architecture.</summary>
    private static ILookup<string, string> References() =>
        (from folder in new[] { SharedFolder.Golden, SharedFolder.Find("golden2") }
         where folder is not null
         from checkpoint in Directory.EnumerateDirectories(folder)
         let golden = Path.Combine(checkpoint, "golden.json")
         where File.Exists(golden)
         let json = JsonDocument.Parse(File.ReadAllBytes(golden)).RootElement
         where json.TryGetProperty("architecture", out _)
         select (Architecture: json.GetProperty("architecture").GetString()!, Name: Path.GetFileName(checkpoint)))
        .ToLookup(pair => pair.Architecture, pair => pair.Name);

    private static string[] WithoutLastColumn(string[] rows) =>
        Array.ConvertAll(rows, row => row[..row.LastIndexOf("](", StringComparison.Ordinal)]);

    [GeneratedRegex(@"^\| architecture \|.*\n(\|.*\n)+", RegexOptions.Multiline)]
    private static partial Regex Table();
}
