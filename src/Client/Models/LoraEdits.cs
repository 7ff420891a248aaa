using Ndif.Protocol;
using Ndif.Recording;
using Ndif.Running;

namespace Ndif;

/// <summary>A LoRA adapter as persistent edits, one for each module that it changes.</summary>
/// <remarks>forward in peft/tuners/lora/layer.py; set_peft_model_state_dict in peft/utils/save_and_load.py</remarks>
internal static class LoraEdits
{
    /// <summary>Reads an adapter as edits of a model.</summary>
    public static IEnumerable<PersistentEdit> Read(TransformersModel model, string adapter)
    {
        LoraAdapter changes = LocalRuntime.Get().ReadAdapter(adapter);
        Dictionary<string, LoraDelta> deltas = new(StringComparer.Ordinal);
        foreach (LoraDelta delta in changes.Deltas)
        {
            string module = Resolve(model, delta.Module);
            Check(model, adapter, module, delta);
            deltas.Add(module, delta);
        }
        Dictionary<string, Dictionary<string, TensorData>> replaced = FindReplaced(model, adapter, changes.Tensors);
        string[] modules = [.. deltas.Keys.Union(replaced.Keys)];
        return from module in modules
               let delta = deltas.GetValueOrDefault(module)
               let tensors = replaced.GetValueOrDefault(module)
               select ToEdit(model.Get(module), (input, output) => Compute(model, module, delta, tensors, input, output));
    }

    /// <summary>
    /// The edit of one module. It is an invoke of its own, so that the edits need not follow the order of the calls. It reads the output
    /// first, which is there when all edits of the input have been made.
    /// </summary>
    private static PersistentEdit ToEdit(Envoy module, Func<Value, Value, Value> compute) => new(() =>
    {
        Value output = module.Output, input = module.Input;
        module.Output = compute(input, output);
    }, new ModuleAdapter(module.Path, compute));

    /// <summary>Records the output of a module with the adapter.</summary>
    private static Value Compute(TransformersModel model, string path, LoraDelta? delta, IReadOnlyDictionary<string, TensorData>? replaced,
        Value input, Value output)
    {
        ModuleInfo info = model.Description.Root.Find(path)!;
        DType modelType = (DType)model.Description.Dtype;
        if (replaced is not null) output = ReplacedWeights.Compute(model.Get(path), info, replaced, input, modelType);
        if (delta is not null)
        {
            // as in PEFT, an adapter in half precision is computed in float32 (autocast_adapter_dtype)
            DType type = delta.A.Type is DType.Float16 or DType.BFloat16 ? DType.Float32 : delta.A.Type;
            Value a = ((Value)delta.A).To(type), b = ((Value)delta.B).To(type);
            Value projected = delta.IsEmbedding ? Op.Embedding(input, a.Transpose(0, 1)) : Op.Linear(input.To(type), a);
            Value change = Op.Linear(projected, b) * delta.Scaling;
            if (delta.IsEmbedding && ReplacedWeights.EmbeddingScale(info, modelType) is { } scale) change *= scale.To(type);
            output = (output + change).To(modelType);
        }
        return output;
    }

    /// <summary>
    /// The adapter's own tensors by module and parameter. One that is no copy replaces the weight of the embedding in the head too, and the
    /// other way round, where they share it; of two such tensors the head's stays, which PyTorch loads last.
    /// </summary>
    private static Dictionary<string, Dictionary<string, TensorData>> FindReplaced(
        TransformersModel model, string adapter, IReadOnlyList<AdapterTensor> tensors)
    {
        string embed = model.Description.Names.Embed, head = model.Description.Names.LmHead;
        bool isTied = IsTied(model.Description);
        Dictionary<string, Dictionary<string, TensorData>> replaced = new(StringComparer.Ordinal);
        List<(string Module, AdapterTensor Tensor)> resolved = [.. tensors.Select(tensor => (Resolve(model, tensor.Module), tensor))];
        foreach (var (module, tensor) in resolved.OrderBy(entry => entry.Tensor.IsCopy).ThenBy(entry => entry.Module == head))
        {
            Check(model, adapter, module, tensor);
            bool isShared = isTied && !tensor.IsCopy && tensor.Parameter == "weight" && (module == embed || module == head);
            foreach (string target in isShared ? (string[])[embed, head] : [module])
            {
                if (!replaced.TryGetValue(target, out Dictionary<string, TensorData>? parameters))
                    replaced.Add(target, parameters = new(StringComparer.Ordinal));
                parameters[tensor.Parameter] = tensor.Value;
            }
        }
        return replaced;
    }

    /// <summary>Whether the head shares the weight of the embedding, which is then counted once.</summary>
    private static bool IsTied(ModelDescription model)
    {
        long listed = model.Root.Paths().Select(path => model.Root.Find(path)!).Append(model.Root)
            .SelectMany(module => module.Parameters).Sum(parameter => parameter.Shape.Aggregate(1L, (a, b) => a * b));
        return listed > (long)model.Parameters;
    }

    /// <summary>The path of a module, which an adapter of the base model alone has without the name of the base model.</summary>
    private static string Resolve(TransformersModel model, string module)
    {
        string prefix = model.Description.Names.Embed.Split('.')[0];
        return model.Description.Root.Find(module) is null && model.Description.Root.Find($"{prefix}.{module}") is not null
            ? $"{prefix}.{module}" : module;
    }

    private static void Check(TransformersModel model, string adapter, string module, LoraDelta delta)
    {
        ParameterInfo weight = model.Description.Root.Find(module)?.Parameters
                .FirstOrDefault(parameter => parameter is { Name: "weight", Shape.Count: 2 })
            ?? throw BadAdapter(adapter, $"changes `{module}`, and `{model.Id}` has no such module with a matrix", module);
        long[] expected = [delta.A.Shape[^1], delta.B.Shape[0]], found = [.. weight.Shape];
        bool areMatrices = delta.A.Shape.Length == 2 && delta.B.Shape.Length == 2;
        if (!areMatrices || delta.A.Shape[0] != delta.B.Shape[1] || !found.Order().SequenceEqual(expected.Order()))
            throw BadAdapter(adapter, $"has matrices {Format(delta.A.Shape)} and {Format(delta.B.Shape)} for `{module}`, whose weight is "
                + Format([.. found]), module);
        if (delta.Rank is { } rank && rank != delta.A.Shape[0])
            throw BadAdapter(adapter,
                $"has the matrix A with shape {Format(delta.A.Shape)} for `{module}`; the rank {rank} and the model's weight "
                + $"{Format([.. found])} ask for {Format([rank, delta.A.Shape[^1]])}", module,
                "The adapter was trained on another model, or adapter_config.json is not its own.");
    }

    private static void Check(TransformersModel model, string adapter, string module, AdapterTensor tensor)
    {
        ModuleInfo? info = model.Description.Root.Find(module);
        ParameterInfo parameter = info?.Parameters.FirstOrDefault(parameter => parameter.Name == tensor.Parameter)
            ?? throw BadAdapter(adapter, $"has `{module}.{tensor.Parameter}`, and `{model.Id}` has no such weight", module);
        long[] shape = [.. parameter.Shape];
        if (!tensor.Value.Shape.SequenceEqual(shape))
            throw BadAdapter(adapter, $"has `{module}.{tensor.Parameter}` with shape {Format(tensor.Value.Shape)}; the model's is "
                + Format(shape), module, shape.Length == 2 && tensor.Value.Shape.Length == 2 && tensor.Value.Shape[1] == shape[1]
                    ? "If the vocabulary was resized before the training: in Python, resize_token_embeddings on the base model, load the "
                        + "adapter, merge_and_unload, and save that as a model." : null);
        if (!ReplacedWeights.CanCompute(info!, tensor.Parameter))
            throw BadAdapter(adapter, $"replaces `{tensor.Parameter}` of `{module}`, a {info!.ClassName}, which an attached adapter cannot",
                module, $"Merge it while loading: new {model.GetType().Name}(\"{model.Id}\", adapter: ...).");
    }

    private static string Format(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";

    private static Exception BadAdapter(string adapter, string what, string module, string? hint = null) => Errors.CreateException(
        ErrorCode.BadCheckpoint, $"The adapter in {adapter} {what}.", hint ?? "The adapter was trained on another model.", module);
}
