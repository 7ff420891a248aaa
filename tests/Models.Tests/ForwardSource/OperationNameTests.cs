using Ndif.Models.ForwardSource;
using Ndif.Models.Loading;

namespace Ndif.Models.Tests.ForwardSource;

/// <summary>
/// The names of the operations inside every module, which programs refer to. OperationNames.txt has a line for each class and each
/// function, with all variants that the configs of <see cref="TinyConfigs"/> produce.
/// </summary>
public sealed class OperationNameTests
{
    [Fact]
    public void OperationNames_AreThoseThatArePublished()
    {
        string[] current = [.. TinyConfigs.Names.SelectMany(name => Lines(name)).Distinct().Order(StringComparer.Ordinal)];
        using var reader = new StreamReader(typeof(OperationNameTests).Assembly.GetManifestResourceStream("OperationNames")!);
        string[] approved = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] gone = [.. approved.Except(current)], added = [.. current.Except(approved)];
        Assert.True(gone.Length == 0 && added.Length == 0,
            $"tests/Models.Tests/ForwardSource/OperationNames.txt\nGone or "
            + $"changed:\n{string.Join('\n', gone)}\nNew:\n{string.Join('\n', added)}");
    }

    private static IEnumerable<string> Lines(string config)
    {
        using TempFolder folder = new();
        TinyModel.Write(folder, TinyConfigs.Of(config, 2), 2);
        using LoadedModel model = TinyModel.Load(folder.Path);
        foreach (SiteModule module in model.Modules)
            if (module.Source is { } source)
                foreach (string line in Lines(module.ClassName, source)) yield return line;
    }

    private static IEnumerable<string> Lines(string name, SourceFunction function)
    {
        yield return $"{name}: {string.Join(' ', function.Operations.Select(Text))}";
        foreach (SourceFunction inside in function.Operations.Select(o => o.Inside?.Invoke()).OfType<SourceFunction>())
            foreach (string line in Lines(inside.Name, inside)) yield return line;
    }

    /// <summary>The name, and the keywords of the named arguments.</summary>
    private static string Text(SourceOperation operation)
    {
        string[] keywords = [.. operation.Inputs.Select(input => input.Keyword).OfType<string>()];
        return keywords.Length == 0 ? operation.Name : $"{operation.Name}({string.Join(',', keywords)})";
    }
}
