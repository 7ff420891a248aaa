using Ndif.Models.Files;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Loading;

/// <summary>Finds the tensor of a checkpoint for each parameter of a module tree.</summary>
internal static class WeightBinding
{
    /// <summary>
    /// Names in a checkpoint are the paths of the tree, with or without the prefix of the base model ("transformer.h.0..." or
    /// "h.0..."). A parameter may be stored in parts. Tensors that the architecture computes itself are ignored. Every other difference
    /// is an error.
    /// </summary>
    /// <returns>The tensor, or the parts, of each distinct parameter in the order of the tree.</returns>
    public static List<KeyValuePair<Parameter, string[]>> Bind(CausalLM model, Checkpoint checkpoint)
    {
        Dictionary<string, Parameter> parameters = Parameters(model);
        var (sources, unexpected) = FindSources(model, checkpoint, parameters);
        Dictionary<Parameter, string[]> found = [];
        foreach (var (path, parameter) in parameters)
        {
            string[] parts = PartPaths(path, parameter);
            if (sources.TryGetValue(path, out string? name)) found.TryAdd(parameter, [name]);
            else if (parts.Length > 0 && parts.All(sources.ContainsKey)) found.TryAdd(parameter, [.. parts.Select(p => sources[p])]);
        }
        string[] missing = [.. parameters.Where(p => !found.ContainsKey(p.Value)).SelectMany(p =>
            p.Value.Parts.Count == 0 ? [p.Key] : PartPaths(p.Key, p.Value).Where(part => !sources.ContainsKey(part)))];

        if (missing.Length > 0)
            throw InvalidCheckpoint(checkpoint, $"has no {FormatNames(missing)}", Errors.DidYouMean(missing[0], unexpected), missing[0]);
        if (unexpected.Count > 0)
            throw InvalidCheckpoint(checkpoint, $"has {FormatNames(unexpected)}, which {model.ClassName} has no place for",
                Errors.DidYouMean(unexpected[0], parameters.Keys), unexpected[0]);
        foreach (var (parameter, names) in found)
            for (int part = 0; part < names.Length; part++)
                CheckShape(checkpoint, names.Length == 1 ? parameter.Shape : parameter.Parts[part].Shape, names[part]);
        return [.. parameters.Values.Distinct().Select(p => KeyValuePair.Create(p, found[p]))];
    }

    /// <summary>
    /// Whether the checkpoint has different tensors for a parameter that two modules share: an output projection of its own, although
    /// config.json ties it to the embedding.
    /// </summary>
    public static bool HasUntiedWeights(CausalLM model, Checkpoint checkpoint)
    {
        Dictionary<string, Parameter> parameters = Parameters(model);
        Dictionary<string, string> sources = FindSources(model, checkpoint, parameters).Sources;
        return parameters.GroupBy(entry => entry.Value, entry => entry.Key)
            .Select(paths => paths.Where(sources.ContainsKey).Select(path => sources[path]).Distinct().ToArray())
            .Any(names => names.Length > 1 && !checkpoint.AreEqual(names[0], names[1]));
    }

    /// <summary>The tensors of a checkpoint by their path in the tree, and those that are not in the tree.</summary>
    private static (Dictionary<string, string> Sources, List<string> Unexpected) FindSources(
        CausalLM model, Checkpoint checkpoint, Dictionary<string, Parameter> parameters)
    {
        HashSet<string> paths = TensorPaths(parameters);
        Dictionary<string, string> sources = new(StringComparer.Ordinal);
        List<string> unexpected = [];
        foreach (string name in checkpoint.Names)
        {
            if (ResolvePath(model.ToTreeName(name), model.BaseModelPrefix, paths) is { } path) sources.TryAdd(path, name);
            else if (!model.ShouldIgnore(name)) unexpected.Add(name);
        }
        return (sources, unexpected);
    }

    /// <summary>All parameters by path, in the order of the tree. A shared parameter has several paths.</summary>
    public static Dictionary<string, Parameter> Parameters(CausalLM model) =>
        model.Modules.SelectMany(m => m.Parameters.Select(p => (Path: $"{m.Path}.{p.Name}", Parameter: p)))
            .ToDictionary(p => p.Path, p => p.Parameter, StringComparer.Ordinal);

    /// <summary>The paths that the tensors of a checkpoint may have: those of parameters and of their parts.</summary>
    public static HashSet<string> TensorPaths(Dictionary<string, Parameter> parameters) =>
        [.. parameters.Keys, .. parameters.SelectMany(p => PartPaths(p.Key, p.Value))];

    private static string[] PartPaths(string path, Parameter parameter) =>
        [.. parameter.Parts.Select(part => path[..^parameter.Name.Length] + part.Name)];

    /// <summary>The path in the tree of a tensor in the checkpoint, or null.</summary>
    public static string? ResolvePath(string name, string baseModelPrefix, HashSet<string> paths)
    {
        if (paths.Contains(name)) return name;
        if (paths.Contains($"{baseModelPrefix}.{name}")) return $"{baseModelPrefix}.{name}";
        return name.StartsWith(baseModelPrefix + ".", StringComparison.Ordinal) && paths.Contains(name[(baseModelPrefix.Length + 1)..])
            ? name[(baseModelPrefix.Length + 1)..] : null;
    }

    private static void CheckShape(Checkpoint checkpoint, long[] expected, string name)
    {
        long[] shape = checkpoint.Entry(name).Shape;
        if (!shape.AsSpan().SequenceEqual(expected))
            throw InvalidCheckpoint(checkpoint,
                $"has `{name}` with shape [{string.Join(", ", shape)}]; config.json asks for [{string.Join(", ", expected)}]",
                "config.json and the weights are not of the same model.", name);
    }

    private static string FormatNames(IReadOnlyList<string> names) =>
        string.Join(", ", names.Take(5).Select(n => $"`{n}`")) + (names.Count > 5 ? $" and {names.Count - 5} more" : "");

    private static Exception InvalidCheckpoint(Checkpoint checkpoint, string what, string hint, string module) =>
        Errors.CreateException(ErrorCode.BadCheckpoint, $"The checkpoint in {checkpoint.Folder} {what}.", hint, module);
}
