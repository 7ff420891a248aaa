using Ndif.Models.Files;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Loading;

/// <summary>
/// The tensors of a checkpoint by their path in a module tree. Names in a checkpoint are the paths of the tree, with or without the prefix
/// of the base model ("transformer.h.0..." or "h.0..."). A parameter may be stored in parts.
/// </summary>
internal sealed class WeightBinding
{
    private readonly Checkpoint _checkpoint;
    private readonly Dictionary<string, string> _sources = new(StringComparer.Ordinal); // from path to name
    private readonly List<string> _unexpected = [];
    private Dictionary<string, string[]> _tiedPaths;

    /// <param name="model">The tree with the ties of config.json.</param>
    public WeightBinding(PreTrainedModel model, Checkpoint checkpoint)
    {
        _checkpoint = checkpoint;
        Dictionary<string, Parameter> parameters = Parameters(model);
        HashSet<string> paths = TensorPaths(parameters);
        foreach (string name in checkpoint.Names)
        {
            if (ResolvePath(model.ToTreeName(name), model.BaseModelPrefix, paths) is { } path) _sources.TryAdd(path, name);
            else if (!model.ShouldIgnore(name) && !checkpoint.ZeroBiases.Contains(name)) _unexpected.Add(name);
        }
        _tiedPaths = parameters.GroupBy(entry => entry.Value, entry => entry.Key).Select(group => group.ToArray())
            .Where(group => group.Length > 1).SelectMany(group => group.Select(path => KeyValuePair.Create(path, group)))
            .ToDictionary(StringComparer.Ordinal);
    }

    /// <summary>The names of the tensors that the tree has a place for.</summary>
    public IReadOnlyCollection<string> Names => _sources.Values;

    /// <summary>
    /// Whether the checkpoint has different tensors for a parameter that two modules share: an output projection of its own, although
    /// config.json ties it to the embedding.
    /// </summary>
    public bool HasUntiedWeights => _tiedPaths.Values.Distinct()
        .Select(paths => paths.Where(_sources.ContainsKey).Select(path => _sources[path]).Distinct().ToArray())
        .Any(names => names.Length > 1 && !_checkpoint.AreEqual(names[0], names[1]));

    /// <summary>From now on each path has its own tensor, as in the tree without ties.</summary>
    public void Untie() => _tiedPaths = [];

    /// <summary>The paths of the parameter at a path: several, in the order of the tree, if config.json ties it.</summary>
    public IReadOnlyList<string> PathsOfParameterAt(string path) => _tiedPaths.GetValueOrDefault(path) ?? [path];

    /// <summary>
    /// The entry of the tensor for a path; for a tied parameter the tensor of its other path, if it has none of its own. Null: none.
    /// </summary>
    public SafetensorsEntry? EntryOf(string path) => NameOf(path) is { } name ? _checkpoint.Entry(name) : null;

    /// <summary>
    /// The tensor, or the parts, of each parameter; none of one that is zero. Tensors that the architecture computes itself are ignored.
    /// Every other difference is an error.
    /// </summary>
    /// <param name="model">The tree of the constructor, or the same one without ties.</param>
    /// <returns>By distinct parameter, in the order of the tree.</returns>
    public List<KeyValuePair<Parameter, BoundTensor[]>> Bind(PreTrainedModel model)
    {
        Dictionary<string, Parameter> parameters = Parameters(model);
        Dictionary<Parameter, BoundTensor[]> found = [];
        foreach (var (path, parameter) in parameters)
        {
            string[] parts = PartPaths(path, parameter);
            if (NameOf(path) is { } name) found.TryAdd(parameter, [new(path, name)]);
            else if (parts.Length > 0 && parts.All(_sources.ContainsKey))
                found.TryAdd(parameter, [.. parts.Select(part => new BoundTensor(part, _sources[part]))]);
        }
        string[] missing = [.. parameters.Where(p => !p.Value.IsZeroByDefault && !found.ContainsKey(p.Value)).SelectMany(p =>
            p.Value.Parts.Count == 0 ? [p.Key] : PartPaths(p.Key, p.Value).Where(part => !_sources.ContainsKey(part)))];

        if (missing.Length > 0)
            throw InvalidCheckpoint($"has no {FormatNames(missing)}", Errors.DidYouMean(missing[0], _unexpected), missing[0]);
        if (_unexpected.Count > 0)
            throw InvalidCheckpoint($"has {FormatNames(_unexpected)}, which {model.ClassName} has no place for",
                Errors.DidYouMean(_unexpected[0], parameters.Keys), _unexpected[0]);
        foreach (var (parameter, tensors) in found)
            for (int part = 0; part < tensors.Length; part++)
                CheckShape(tensors.Length == 1 ? parameter.Shape : parameter.Parts[part].Shape, tensors[part].Name);
        return [.. parameters.Values.Distinct().Select(p => KeyValuePair.Create(p, found.GetValueOrDefault(p) ?? []))];
    }

    /// <summary>All parameters by path, in the order of the tree. A shared parameter has several paths.</summary>
    public static Dictionary<string, Parameter> Parameters(PreTrainedModel model) =>
        model.Modules.SelectMany(m => m.Parameters.Select(p => (Path: m.PathOf(p), Parameter: p)))
            .ToDictionary(p => p.Path, p => p.Parameter, StringComparer.Ordinal);

    /// <summary>The paths that the tensors of a checkpoint may have: those of parameters and of their parts.</summary>
    public static HashSet<string> TensorPaths(Dictionary<string, Parameter> parameters) =>
        [.. parameters.Keys, .. parameters.SelectMany(p => PartPaths(p.Key, p.Value))];

    /// <summary>The paths of the parts of a parameter; none if it is stored whole.</summary>
    public static string[] PartPaths(string path, Parameter parameter) =>
        [.. parameter.Parts.Select(part => path[..^parameter.Name.Length] + part.Name)];

    /// <summary>The path in the tree of a tensor in the checkpoint, or null.</summary>
    public static string? ResolvePath(string name, string baseModelPrefix, HashSet<string> paths)
    {
        if (paths.Contains(name)) return name;
        if (paths.Contains($"{baseModelPrefix}.{name}")) return $"{baseModelPrefix}.{name}";
        return name.StartsWith(baseModelPrefix + ".", StringComparison.Ordinal) && paths.Contains(name[(baseModelPrefix.Length + 1)..])
            ? name[(baseModelPrefix.Length + 1)..] : null;
    }

    /// <summary>Whether the checkpoint has no tensor for a path.</summary>
    public bool IsMissing(string path) => NameOf(path) is null;

    private string? NameOf(string path) => _sources.GetValueOrDefault(path)
        ?? PathsOfParameterAt(path).Select(tied => _sources.GetValueOrDefault(tied)).FirstOrDefault(name => name is not null);

    private void CheckShape(long[] expected, string name)
    {
        long[] shape = _checkpoint.Entry(name).Shape;
        if (!shape.AsSpan().SequenceEqual(expected))
            throw InvalidCheckpoint(
                $"has `{name}` with shape [{string.Join(", ", shape)}]; config.json asks for [{string.Join(", ", expected)}]",
                "config.json and the weights are not of the same model.", name);
    }

    private static string FormatNames(IReadOnlyList<string> names) =>
        string.Join(", ", names.Take(5).Select(n => $"`{n}`")) + (names.Count > 5 ? $" and {names.Count - 5} more" : "");

    private Exception InvalidCheckpoint(string what, string hint, string module) =>
        Errors.CreateException(ErrorCode.BadCheckpoint, $"The checkpoint in {_checkpoint.Folder} {what}.", hint, module);
}
