using Ndif.Models.Files;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// Merges an adapter (<see cref="AdapterFile"/>) into the weights of a model while they are loaded: a weight W becomes W + scaling · B A,
/// transposed if the layer's weight is [inFeatures, outFeatures].
/// </summary>
/// <param name="file">Owned by this object.</param>
/// <remarks>get_delta_weight in peft/tuners/lora/layer.py</remarks>
internal sealed class LoraMerger(AdapterFile file) : IDisposable
{
    /// <summary>The changes by tensor name in the checkpoint. Transposed: the weight is [inFeatures, outFeatures].</summary>
    private readonly Dictionary<string, (LoraPair Pair, bool Transposed)> _changes = new(StringComparer.Ordinal);

    /// <summary>Finds the weight that each pair changes. Every pair must have one.</summary>
    public void Bind(CausalLM model, Checkpoint checkpoint)
    {
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model);
        Dictionary<string, SiteModule> modules = model.Modules.ToDictionary(m => m.Path, StringComparer.Ordinal);
        HashSet<string> paths = WeightBinding.TensorPaths(parameters);
        Dictionary<string, string> names = new(StringComparer.Ordinal); // from path in the tree to name in the checkpoint
        foreach (string name in checkpoint.Names)
            if (WeightBinding.ResolvePath(model.ToTreeName(name), model.BaseModelPrefix, paths) is { } path) names.TryAdd(path, name);

        foreach (LoraPair pair in file.Pairs)
        {
            string module = pair.Module;
            string path = WeightBinding.ResolvePath(model.ToTreeName($"{module}.weight"), model.BaseModelPrefix, paths) is { } found
                && names.ContainsKey(found) ? found
                : throw InvalidAdapter($"changes `{module}`, which {model.ClassName} has no weight of",
                    Errors.DidYouMean($"{module}.weight", names.Keys), module);
            if (parameters.TryGetValue(path, out Parameter? parameter) && parameters.Count(p => p.Value == parameter) > 1)
                throw InvalidAdapter($"changes `{module}`, whose weight is another module's too; merged into it, it would change both",
                    "Train the adapter on a model with tie_word_embeddings false.", module);
            bool transposed = modules.GetValueOrDefault(path[..path.LastIndexOf('.')]) switch
            {
                Conv1D => true,
                Embedding => true,
                Linear or null => false, // null: a part of a weight, which the checkpoint stores like that of a linear layer
                { } other =>
                    throw InvalidAdapter($"changes `{module}`, a {other.ClassName}, which LoRA is not merged into", module: module),
            };
            long[] shape = checkpoint.Entry(names[path]).Shape;
            CheckShapes(pair, shape, transposed);
            _changes.Add(names[path], (pair, transposed));
        }
    }

    /// <summary>
    /// The weight plus its change, computed in float32 and not yet rounded; the weight itself if the adapter does not change it.
    /// </summary>
    /// <param name="name">The name of the tensor in the checkpoint.</param>
    /// <param name="weight">Owned by this method; the caller owns the result.</param>
    public Tensor Merge(string name, Tensor weight)
    {
        if (!_changes.TryGetValue(name, out var change)) return weight;
        using (weight)
        using (no_grad())
        using (var scope = NewDisposeScope())
        {
            using Tensor storedA = file.Read(change.Pair.A);                                    // [rank, inFeatures]
            using Tensor storedB = file.Read(change.Pair.B);                                    // [outFeatures, rank]
            Tensor a = storedA.to(ScalarType.Float32);                                            // [rank, inFeatures]
            Tensor b = storedB.to(ScalarType.Float32);                                            // [outFeatures, rank]
            Tensor product = change.Transposed ? mm(b, a).t() : mm(b, a);                           // the weight's shape
            Tensor merged = weight.to(ScalarType.Float32).add(product, alpha: change.Pair.Scaling); // the weight's shape
            return merged.DetachFromDisposeScope();
        }
    }

    /// <summary>Whether the adapter changes this tensor of the checkpoint.</summary>
    public bool HasChangesFor(string name) => _changes.ContainsKey(name);

    public void Dispose() => file.Dispose();

    private void CheckShapes(LoraPair pair, long[] shape, bool transposed)
    {
        if (shape.Length != 2) throw InvalidAdapter($"changes `{pair.Module}`, whose weight is not a matrix", module: pair.Module);
        (long outFeatures, long inFeatures) = transposed ? (shape[1], shape[0]) : (shape[0], shape[1]);
        foreach (var (tensor, expected) in new[] { (pair.A, new[] { pair.Rank, inFeatures }), (pair.B, [outFeatures, pair.Rank]) })
        {
            SafetensorsEntry entry = file.Entry(tensor);
            if (!entry.Shape.AsSpan().SequenceEqual(expected))
                throw InvalidAdapter(
                    $"has `{tensor}` with shape [{string.Join(", ", entry.Shape)}]; the rank {pair.Rank} and the model's weight "
                    + $"[{string.Join(", ", shape)}] ask for "
                    + $"[{string.Join(", ", expected)}]",
                    "The adapter was trained on another model, or adapter_config.json is not its own.", pair.Module);
            if (entry.DType.Torch is not (ScalarType.Float32 or ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float64))
                throw InvalidAdapter($"has `{tensor}` as {entry.DType.Name}, which is no floating-point type that is supported");
        }
    }

    private Exception InvalidAdapter(string what, string hint = "", string module = "") => file.InvalidAdapter(what, hint, module);
}
