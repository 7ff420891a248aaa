using Ndif.Models.Files;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// An adapter (<see cref="AdapterFile"/>) that is merged into a model's weights while they are loaded: a weight W becomes W + scale · B A,
/// turned round where the layer keeps its weight [inFeatures, outFeatures].
/// </summary>
/// <param name="file">Owned from here on.</param>
/// <remarks>get_delta_weight in peft/tuners/lora/layer.py</remarks>
internal sealed class LoraMerger(AdapterFile file) : IDisposable
{
    private readonly Dictionary<string, (LoraPair Pair, bool Turned)> _changes = new(StringComparer.Ordinal); // by the checkpoint's tensor; turned: it is [inFeatures, outFeatures]

    /// <summary>Finds what each matrix belongs to. Everything in the file must have its place.</summary>
    public void Bind(CausalLM model, Checkpoint checkpoint)
    {
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model);
        Dictionary<string, SiteModule> owners = model.Modules.ToDictionary(m => m.Path, StringComparer.Ordinal);
        HashSet<string> places = WeightBinding.TensorPaths(parameters);
        Dictionary<string, string> names = new(StringComparer.Ordinal); // path in the tree -> the checkpoint's name
        foreach (string name in checkpoint.Names)
            if (WeightBinding.ResolvePath(model.ToTreeName(name), model.BaseModelPrefix, places) is { } path) names.TryAdd(path, name);

        foreach (LoraPair pair in file.Pairs)
        {
            string module = pair.Module;
            string path = WeightBinding.ResolvePath(model.ToTreeName($"{module}.weight"), model.BaseModelPrefix, places) is { } found && names.ContainsKey(found) ? found
                : throw InvalidAdapter($"changes `{module}`, which {model.ClassName} has no weight of", Errors.DidYouMean($"{module}.weight", names.Keys), module);
            if (parameters.TryGetValue(path, out Parameter? parameter) && parameters.Count(p => p.Value == parameter) > 1)
                throw InvalidAdapter($"changes `{module}`, whose weight is another module's too; merged into it, it would change both", "Train the adapter on a model with tie_word_embeddings false.", module);
            bool turned = owners.GetValueOrDefault(path[..path.LastIndexOf('.')]) switch
            {
                Conv1D => true,
                Embedding => true,
                Linear or null => false, // null: a part of a weight, which checkpoints have as a linear layer's
                { } other => throw InvalidAdapter($"changes `{module}`, a {other.ClassName}, which LoRA is not merged into", module: module),
            };
            long[] shape = checkpoint.Entry(names[path]).Shape;
            CheckShapes(pair, shape, turned);
            _changes.Add(names[path], (pair, turned));
        }
    }

    /// <summary>The weight with its change in float32, to be rounded once; the weight itself if nothing changes it.</summary>
    /// <param name="name">In the checkpoint.</param>
    /// <param name="weight">Owned by the caller before and after.</param>
    public Tensor Merge(string name, Tensor weight)
    {
        if (!_changes.TryGetValue(name, out var change)) return weight;
        using (weight)
        using (no_grad())
        using (var scope = NewDisposeScope())
        {
            using Tensor readA = file.Read(change.Pair.A), readB = file.Read(change.Pair.B);
            Tensor a = readA.to(ScalarType.Float32);                                            // [rank, inFeatures]
            Tensor b = readB.to(ScalarType.Float32);                                            // [outFeatures, rank]
            Tensor product = change.Turned ? mm(b, a).t() : mm(b, a);                           // the weight's shape
            Tensor merged = weight.to(ScalarType.Float32).add(product, alpha: change.Pair.Scaling);
            return merged.DetachFromDisposeScope();
        }
    }

    /// <summary>True if it changes this tensor of the checkpoint.</summary>
    public bool HasChangesFor(string name) => _changes.ContainsKey(name);

    public void Dispose() => file.Dispose();

    private void CheckShapes(LoraPair pair, long[] shape, bool turned)
    {
        if (shape.Length != 2) throw InvalidAdapter($"changes `{pair.Module}`, whose weight is not a matrix", module: pair.Module);
        (long outputs, long inputs) = turned ? (shape[1], shape[0]) : (shape[0], shape[1]);
        foreach (var (half, expected) in new[] { (pair.A, new[] { pair.Rank, inputs }), (pair.B, [outputs, pair.Rank]) })
        {
            SafetensorsEntry entry = file.Entry(half);
            if (!entry.Shape.AsSpan().SequenceEqual(expected))
                throw InvalidAdapter($"has `{half}` with shape [{string.Join(", ", entry.Shape)}]; the rank {pair.Rank} and the model's weight [{string.Join(", ", shape)}] ask for "
                    + $"[{string.Join(", ", expected)}]", "The adapter was trained on another model, or adapter_config.json is not its own.", pair.Module);
            if (entry.DType.Torch is not (ScalarType.Float32 or ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float64))
                throw InvalidAdapter($"has `{half}` as {entry.DType.Name}, which is no floating-point type that is supported");
        }
    }

    private Exception InvalidAdapter(string what, string hint = "", string module = "") => file.InvalidAdapter(what, hint, module);
}
