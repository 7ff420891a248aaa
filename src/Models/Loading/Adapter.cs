using System.Text.RegularExpressions;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models;

/// <summary>
/// A LoRA adapter as PEFT's save_pretrained writes it: for some weights W two thin matrices A [rank, inputs] and B [outputs, rank];
/// the merged weight is W + scale · B A, turned round where the layer keeps its weight [inputs, outputs].
/// </summary>
/// <remarks>
/// Hu et al., LoRA, 2021; peft/tuners/lora (config.py, layer.py, get_delta_weight). Scale is lora_alpha / r, or lora_alpha / √r with
/// use_rslora; rank_pattern and alpha_pattern give modules their own.
/// </remarks>
internal sealed class Adapter : IDisposable
{
    public const string ConfigFile = "adapter_config.json", WeightsFile = "adapter_model.safetensors";

    private const string Prefix = "base_model.model.";

    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(500); // of a regular expression from the file

    private readonly ConfigReader _config;
    private readonly SafetensorsFile _weights;
    private readonly int _rank;
    private readonly double _alpha;
    private readonly bool _rootScaled;
    private readonly IReadOnlyList<(Regex Modules, double Value)> _ranks, _alphas;
    private readonly Dictionary<string, Change> _changes = new(StringComparer.Ordinal); // by the checkpoint's tensor

    private Adapter(ConfigReader config, SafetensorsFile weights)
    {
        (_config, _weights) = (config, weights);
        CheckKind();
        _rank = config.Size("r", 8);
        _alpha = config.Real("lora_alpha", 8);
        _rootScaled = config.Flag("use_rslora", false);
        (_ranks, _alphas) = (Pattern("rank_pattern"), Pattern("alpha_pattern"));
    }

    /// <summary>True if a folder has an adapter.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, ConfigFile)) && File.Exists(Path.Combine(folder, WeightsFile));

    /// <exception cref="CheckpointException">There is no adapter, it is damaged, or of a kind that cannot be merged.</exception>
    public static Adapter Open(string folder)
    {
        if (!IsIn(folder))
            throw Errors.Throwable(ErrorCode.BadCheckpoint, $"{folder} has no {ConfigFile} with {WeightsFile}: it is not an adapter in PEFT's format.",
                File.Exists(Path.Combine(folder, "adapter_model.bin"))
                    ? "Its weights are a Python pickle, which is refused; save it again with safe_serialization=True." : "Name the folder that PEFT's save_pretrained wrote.");
        ConfigReader config = ConfigReader.Open(Path.Combine(folder, ConfigFile));
        SafetensorsFile weights = SafetensorsFile.Open(Path.Combine(folder, WeightsFile));
        try { return new Adapter(config, weights); }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Finds what each matrix belongs to. Everything in the file must have its place.</summary>
    public void Bind(CausalLM model, Checkpoint checkpoint)
    {
        Dictionary<string, Parameter> parameters = WeightBinding.Parameters(model);
        Dictionary<string, SiteModule> owners = model.Modules.ToDictionary(m => m.Path, StringComparer.Ordinal);
        HashSet<string> places = WeightBinding.Places(parameters);
        Dictionary<string, string> names = new(StringComparer.Ordinal); // path in the tree -> the checkpoint's name
        foreach (string name in checkpoint.Names)
            if (WeightBinding.InTree(model.TreeName(name), model.BaseName, places) is { } path) names.TryAdd(path, name);

        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string name in _weights.Entries.Keys.Order(StringComparer.Ordinal))
        {
            (string module, string kind) = Split(name);
            if (!seen.Add(module)) continue;
            bool table = kind is "lora_embedding_A" or "lora_embedding_B";
            string a = name.Replace(kind, table ? "lora_embedding_A" : "lora_A.weight", StringComparison.Ordinal);
            string b = name.Replace(kind, table ? "lora_embedding_B" : "lora_B.weight", StringComparison.Ordinal);
            foreach (string half in (string[])[a, b])
                if (!_weights.Entries.ContainsKey(half)) throw Bad($"has `{name}` and not `{half}`");

            string path = WeightBinding.InTree(model.TreeName($"{module}.weight"), model.BaseName, places) is { } found && names.ContainsKey(found) ? found
                : throw Bad($"changes `{module}`, which {model.ClassName} has no weight of", Errors.DidYouMean($"{module}.weight", names.Keys), module);
            if (parameters.TryGetValue(path, out Parameter? parameter) && parameters.Count(p => p.Value == parameter) > 1)
                throw Bad($"changes `{module}`, whose weight is another module's too; merged into it, it would change both", "Train the adapter on a model with tie_word_embeddings false.", module);
            bool turned = owners.GetValueOrDefault(path[..path.LastIndexOf('.')]) switch
            {
                Conv1D => true,
                Embedding or ScaledEmbedding => true,
                Linear or null => false, // null: a part of a weight, which checkpoints have as a linear layer's
                { } other => throw Bad($"changes `{module}`, a {other.ClassName}, which LoRA is not merged into", module: module),
            };
            long[] shape = checkpoint.Entry(names[path]).Shape;
            _changes.Add(names[path], Checked(module, a, b, shape, turned));
        }
        if (_changes.Count == 0) throw Bad("changes nothing");
    }

    /// <summary>The weight with its change in float32, to be rounded once; the weight itself if nothing changes it.</summary>
    /// <param name="name">In the checkpoint.</param>
    /// <param name="weight">Owned by the caller before and after.</param>
    public Tensor Merge(string name, Tensor weight)
    {
        if (!_changes.TryGetValue(name, out Change? change)) return weight;
        using (weight)
        using (no_grad())
        using (var scope = NewDisposeScope())
        {
            using Tensor readA = _weights.Read(change.A), readB = _weights.Read(change.B);
            Tensor a = readA.to(ScalarType.Float32);                                            // [rank, inputs]
            Tensor b = readB.to(ScalarType.Float32);                                            // [outputs, rank]
            Tensor product = change.Turned ? mm(b, a).t() : mm(b, a);                           // the weight's shape
            Tensor merged = weight.to(ScalarType.Float32).add(product, alpha: change.Scale);
            return merged.DetachFromDisposeScope();
        }
    }

    /// <summary>True if it changes this tensor of the checkpoint.</summary>
    public bool Changes(string name) => _changes.ContainsKey(name);

    public void Dispose() => _weights.Dispose();

    private Change Checked(string module, string a, string b, long[] shape, bool turned)
    {
        if (shape.Length != 2) throw Bad($"changes `{module}`, whose weight is not a matrix", module: module);
        (long outputs, long inputs) = turned ? (shape[1], shape[0]) : (shape[0], shape[1]);
        int rank = (int)Of(_ranks, module, _rank);
        foreach (var (half, expected) in new[] { (a, new[] { rank, inputs }), (b, [outputs, rank]) })
        {
            SafetensorsEntry entry = _weights.Entries[half];
            if (!entry.Shape.AsSpan().SequenceEqual(expected))
                throw Bad($"has `{half}` with shape [{string.Join(", ", entry.Shape)}]; the rank {rank} and the model's weight [{string.Join(", ", shape)}] ask for "
                    + $"[{string.Join(", ", expected)}]", "The adapter was trained on another model, or adapter_config.json is not its own.", module);
            if (entry.DType.Torch is not (ScalarType.Float32 or ScalarType.Float16 or ScalarType.BFloat16 or ScalarType.Float64))
                throw Bad($"has `{half}` as {entry.DType.Name}, which is no floating-point type that is supported");
        }
        double scale = Of(_alphas, module, _alpha) / (_rootScaled ? Math.Sqrt(rank) : rank);
        if (!(Math.Abs(scale) < float.MaxValue)) throw Bad($"scales its change of `{module}` by {scale}, which float32 cannot hold", module: module);
        return new Change(a, b, scale, turned);
    }

    /// <summary>Module and kind of "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight".</summary>
    private (string Module, string Kind) Split(string name)
    {
        foreach (string kind in (string[])["lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B"])
            if (name.StartsWith(Prefix, StringComparison.Ordinal) && name.Length > Prefix.Length + kind.Length && name.EndsWith("." + kind, StringComparison.Ordinal))
                return (name[Prefix.Length..^(kind.Length + 1)], kind);
        throw Bad($"has `{name}`, which is not one of LoRA's matrices",
            "Fully trained modules (modules_to_save), biases and magnitudes are not read; merge the adapter with PEFT's merge_and_unload and load the result.", name);
    }

    /// <summary>Refuses what a merge of A and B would leave out: that would be silently wrong.</summary>
    private void CheckKind()
    {
        string type = _config.Text("peft_type", "LORA");
        if (type != "LORA") throw Bad($"is of the kind {type}; only LORA can be merged");
        foreach (string key in (string[])["use_dora", "lora_bias", "use_qalora", "use_bdlora"])
            if (_config.Has(key) && _config.Flag(key)) throw Bad($"has `{key}`, which is not supported");
        foreach (string key in (string[])["modules_to_save", "layer_replication", "target_parameters", "trainable_token_indices", "alora_invocation_tokens"])
            if (_config.IsFilled(key)) throw Bad($"has `{key}`, which is not supported", "Merge the adapter with PEFT's merge_and_unload, save that, and load it as a model.");
        if (_config.Text("bias", "none") is not "none" and string bias) throw Bad($"has trained biases (`bias`: {bias}), which are not supported");
        if (_config.TextOrNothing("init_lora_weights") is { } start && start is not ("gaussian" or "eva" or "orthogonal"))
            throw Bad($"was started by {start}, which changes the model's own weights too", "Convert it with PEFT's path_initial_model_for_weight_conversion first.");
    }

    /// <summary>Values by regular expressions over module paths, of which the first that matches the whole end of a path counts.</summary>
    /// <remarks>get_pattern_key in peft/utils/other.py</remarks>
    private List<(Regex, double)> Pattern(string key)
    {
        if (_config.Section(key) is not { } section) return [];
        try
        {
            return [.. section.Keys.Select(module => (new Regex($@"^(.*\.)?({module})\z", RegexOptions.CultureInvariant, s_patience), section.Real(module)))];
        }
        catch (ArgumentException e)
        {
            throw Bad($"has a `{key}` with a regular expression that cannot be used: {e.Message}", inner: e);
        }
    }

    private double Of(IReadOnlyList<(Regex Modules, double Value)> pattern, string module, double otherwise)
    {
        foreach (var (modules, value) in pattern)
            try
            {
                if (modules.IsMatch(module)) return value;
            }
            catch (RegexMatchTimeoutException e)
            {
                throw Bad($"has the regular expression `{modules}`, which took too long on `{module}`", module: module, inner: e);
            }
        return otherwise;
    }

    private Exception Bad(string what, string hint = "", string module = "", Exception? inner = null) =>
        Errors.Throwable(ErrorCode.BadCheckpoint, $"The adapter in {Path.GetDirectoryName(_weights.Path)} {what}.", hint, module, inner);

    /// <param name="Turned">The weight is [inputs, outputs].</param>
    private sealed record Change(string A, string B, double Scale, bool Turned);
}
