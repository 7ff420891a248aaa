using Ndif.Models.Files;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// Merges an adapter (<see cref="AdapterFile"/>) into the weights of a model while they are loaded: a weight W becomes W + scaling · B A,
/// transposed if the layer's weight is [inFeatures, outFeatures]. W is the adapter's own tensor where the adapter has one.
/// </summary>
/// <param name="file">Owned by this object.</param>
/// <remarks>
/// get_delta_weight in peft/tuners/lora/layer.py; set_peft_model_state_dict in peft/utils/save_and_load.py. PEFT's forward applies an
/// adapter of the head to the head only, also where the head shares the embedding's weight.
/// </remarks>
internal sealed class LoraMerger(AdapterFile file) : IDisposable
{
    /// <summary>The changes by path in the tree.</summary>
    private readonly Dictionary<string, WeightChange> _changes = new(StringComparer.Ordinal);

    /// <summary>A change of one weight.</summary>
    /// <param name="Replacement">The tensor of the adapter that takes its place; null if the model's own stays.</param>
    /// <param name="Pair">The matrices whose product is added; null for none.</param>
    /// <param name="IsTransposed">The weight is [inFeatures, outFeatures].</param>
    private sealed record WeightChange(string? Replacement, LoraPair? Pair, bool IsTransposed);

    /// <summary>Whether modules that share a weight have different weights with the adapter.</summary>
    public bool SeparatesTiedWeights { get; private set; }

    /// <summary>Finds the weights that the adapter changes. Each change must have one.</summary>
    /// <param name="model">The tree with the ties of config.json, if the checkpoint follows them.</param>
    public void Bind(PreTrainedModel model, WeightBinding weights)
    {
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model);
        HashSet<string> paths = WeightBinding.TensorPaths(parameters);
        Dictionary<string, string> replacements = BindReplacements(model, weights, parameters, paths);
        Dictionary<string, (LoraPair, bool)> pairs = BindPairs(model, weights, paths);
        foreach (string path in replacements.Keys.Union(pairs.Keys))
        {
            (LoraPair? pair, bool isTransposed) = pairs.GetValueOrDefault(path);
            _changes.Add(path, new(replacements.GetValueOrDefault(path), pair, isTransposed));
        }
        SeparatesTiedWeights = parameters.GroupBy(entry => entry.Value, entry => entry.Key)
            .Any(tied => tied.Select(path => _changes.GetValueOrDefault(path)).Distinct().Count() > 1);
    }

    /// <summary>
    /// The weight plus its change, computed in float32 and not yet rounded; the weight itself if the adapter does not change it.
    /// </summary>
    /// <param name="path">The path of the weight in the tree.</param>
    /// <param name="read">Reads the model's own weight.</param>
    /// <returns>Owned by the caller.</returns>
    public Tensor Merge(string path, Func<Tensor> read)
    {
        if (!_changes.TryGetValue(path, out WeightChange? change)) return read();
        Tensor weight = change.Replacement is { } name ? file.Read(name) : read();
        if (change.Pair is not { } pair) return weight;
        using (weight)
        using (no_grad())
        using (var scope = NewDisposeScope())
        {
            using Tensor storedA = file.Read(pair.A);                                             // [rank, inFeatures]
            using Tensor storedB = file.Read(pair.B);                                             // [outFeatures, rank]
            Tensor a = storedA.to(ScalarType.Float32);                                            // [rank, inFeatures]
            Tensor b = storedB.to(ScalarType.Float32);                                            // [outFeatures, rank]
            Tensor product = change.IsTransposed ? mm(b, a).t() : mm(b, a);                         // the weight's shape
            Tensor merged = weight.to(ScalarType.Float32).add(product, alpha: pair.Scaling);      // the weight's shape
            return merged.DetachFromDisposeScope();
        }
    }

    /// <summary>Whether the adapter changes the weight at a path.</summary>
    public bool HasChangesFor(string path) => _changes.ContainsKey(path);

    public void Dispose() => file.Dispose();

    /// <summary>
    /// The adapter's tensors by the path of the weight that they replace. A copy that a module has of its own takes precedence; of two
    /// tensors for one shared weight, the later in the order of the tree stays, as with PyTorch's load_state_dict.
    /// </summary>
    private Dictionary<string, string> BindReplacements(
        PreTrainedModel model, WeightBinding weights, Dictionary<string, Parameter> parameters, HashSet<string> paths)
    {
        Dictionary<string, string> copies = new(StringComparer.Ordinal), shared = new(StringComparer.Ordinal);
        foreach (AdapterWeight weight in file.Weights)
        {
            if (model.ShouldIgnore(weight.Path)
                && WeightBinding.ResolvePath(model.ToTreeName(weight.Path), model.BaseModelPrefix, paths) is null) continue;
            string path = Resolve(model, weights, paths, weight.Module, weight.Parameter);
            CheckReplacement(weight, weights.EntryOf(path)!.Shape);
            (weight.IsCopy ? copies : shared)[path] = weight.Tensor;
        }
        Dictionary<string, string> replacements = new(copies, StringComparer.Ordinal);
        string[] order = [.. parameters.Keys];
        foreach (var (path, tensor) in shared.OrderByDescending(entry => Array.IndexOf(order, entry.Key)))
            foreach (string tied in weights.PathsOfParameterAt(path)) replacements.TryAdd(tied, tensor);

        foreach (var (path, parameter) in parameters)
            foreach (string part in parameter.Parts.Count > 0 && !replacements.ContainsKey(path)
                ? WeightBinding.PartPaths(path, parameter) : [path])
                if (part.LastIndexOf('.') is > 0 and var dot // the root is not saved
                    && file.IsSavedModule(part[..dot]) && !replacements.ContainsKey(part))
                    throw InvalidAdapter($"names `{part[..dot]}` in `modules_to_save` and has no `{part}`",
                        "The file of weights is not complete, or adapter_config.json is not its own.", part);
        return replacements;
    }

    private Dictionary<string, (LoraPair, bool)> BindPairs(PreTrainedModel model, WeightBinding weights, HashSet<string> paths)
    {
        Dictionary<string, SiteModule> modules = model.Modules.ToDictionary(m => m.Path, StringComparer.Ordinal);
        Dictionary<string, (LoraPair, bool)> pairs = new(StringComparer.Ordinal);
        foreach (LoraPair pair in file.Pairs)
        {
            string path = Resolve(model, weights, paths, pair.Module, "weight");
            bool isTransposed = modules.GetValueOrDefault(path[..path.LastIndexOf('.')]) switch
            {
                Conv1D => true,
                Embedding => true,
                Linear or null => false, // null: a part of a weight, which the checkpoint stores like that of a linear layer
                { } other => throw InvalidAdapter($"changes `{pair.Module}`, a {other.ClassName}, which LoRA is not merged into",
                    module: pair.Module),
            };
            CheckShapes(pair, weights.EntryOf(path)!.Shape, isTransposed);
            pairs.Add(path, (pair, isTransposed));
        }
        return pairs;
    }

    private string Resolve(PreTrainedModel model, WeightBinding weights, HashSet<string> paths, string module, string parameter) =>
        WeightBinding.ResolvePath(model.ToTreeName($"{module}.{parameter}"), model.BaseModelPrefix, paths) is { } path
            && weights.EntryOf(path) is not null ? path
        : throw InvalidAdapter($"changes `{module}`, which {model.ClassName} has no {parameter} of",
            Errors.DidYouMean($"{module}.{parameter}", paths), module);

    private void CheckReplacement(AdapterWeight weight, long[] shape)
    {
        SafetensorsEntry entry = file.Entry(weight.Tensor);
        CheckType(weight.Tensor, entry);
        if (entry.Shape.AsSpan().SequenceEqual(shape)) return;
        bool isResized = entry.Shape.Length == 2 && shape.Length == 2 && entry.Shape[1] == shape[1];
        throw InvalidAdapter(
            $"has `{weight.Tensor}` with shape [{string.Join(", ", entry.Shape)}]; the model's is [{string.Join(", ", shape)}]",
            isResized ? "If the vocabulary was resized before the training: in Python, resize_token_embeddings on the base model, load the "
                + "adapter, merge_and_unload, and save that as a model." : "The adapter was trained on another model.", weight.Module);
    }

    private void CheckShapes(LoraPair pair, long[] shape, bool isTransposed)
    {
        if (shape.Length != 2) throw InvalidAdapter($"changes `{pair.Module}`, whose weight is not a matrix", module: pair.Module);
        (long outFeatures, long inFeatures) = isTransposed ? (shape[1], shape[0]) : (shape[0], shape[1]);
        foreach (var (tensor, expected) in new[] { (pair.A, new[] { pair.Rank, inFeatures }), (pair.B, [outFeatures, pair.Rank]) })
        {
            SafetensorsEntry entry = file.Entry(tensor);
            if (!entry.Shape.AsSpan().SequenceEqual(expected))
                throw InvalidAdapter(
                    $"has `{tensor}` with shape [{string.Join(", ", entry.Shape)}]; the rank {pair.Rank} and the model's weight "
                    + $"[{string.Join(", ", shape)}] ask for "
                    + $"[{string.Join(", ", expected)}]",
                    "The adapter was trained on another model, or adapter_config.json is not its own.", pair.Module);
            CheckType(tensor, entry);
        }
    }

    private void CheckType(string tensor, SafetensorsEntry entry)
    {
        if (entry.DType.Torch is not (ScalarType.Float32 or ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float64))
            throw InvalidAdapter($"has `{tensor}` as {entry.DType.Name}, which is no floating-point type that is supported");
    }

    private Exception InvalidAdapter(string what, string hint = "", string module = "") => file.InvalidAdapter(what, hint, module);
}
