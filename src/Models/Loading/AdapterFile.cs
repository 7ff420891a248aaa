using System.Text.RegularExpressions;
using Ndif.Models.Config;
using Ndif.Models.Files;
using ErrorCode = Ndif.Protocol.ErrorCode;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Loading;

/// <summary>
/// A LoRA adapter in the format of PEFT's save_pretrained: for some modules two low-rank matrices A [rank, inFeatures] and B
/// [outFeatures, rank]. Their product is added to the module's weight (<see cref="LoraMerger"/>) or to its output. Beside them the file may
/// have whole tensors: of modules_to_save, of embeddings and the head (save_embedding_layers), and trained biases.
/// </summary>
/// <remarks>
/// Hu et al., LoRA, 2021; peft/tuners/lora (config.py, layer.py). The scaling is lora_alpha / r, or lora_alpha / √r with use_rslora;
/// rank_pattern and alpha_pattern override both for some modules. Whole tensors: set_peft_model_state_dict in
/// peft/utils/save_and_load.py and ModulesToSaveWrapper in peft/utils/other.py.
/// </remarks>
internal sealed class AdapterFile : IDisposable
{
    public const string ConfigFile = "adapter_config.json", WeightsFile = "adapter_model.safetensors";

    private const string Prefix = "base_model.model.", BaseLayer = ".base_layer.";

    private static readonly string[] _kinds = ["lora_A.weight", "lora_B.weight", "lora_embedding_A", "lora_embedding_B"];

    // for a regular expression from the file, which may be hostile
    private static readonly TimeSpan _regexTimeout = TimeSpan.FromMilliseconds(500);

    private readonly ConfigReader _config;
    private readonly SafetensorsFile _weights;
    private readonly int _rank;
    private readonly double _alpha;
    private readonly bool _usesRsLora;
    private readonly IReadOnlyList<(Regex Modules, double Value)> _ranks, _alphas;
    private readonly IReadOnlyList<string> _modulesToSave;
    private readonly bool _tiesModulesToSave;
    private readonly AdapterTargets _targets;

    private AdapterFile(ConfigReader config, SafetensorsFile weights)
    {
        (_config, _weights) = (config, weights);
        CheckSupported();
        foreach (string key in (string[])["r", "lora_alpha"])
            if (config.IsNull(key)) throw InvalidAdapter($"has `{key}`: null, where PEFT needs a number");
        _rank = config.Size("r", 8);
        _alpha = config.Real("lora_alpha", 8);
        _usesRsLora = config.Flag("use_rslora", false);
        (_ranks, _alphas) = (ReadPattern("rank_pattern"), ReadPattern("alpha_pattern"));
        _targets = ReadTargets();
        _modulesToSave = config.Texts("modules_to_save");
        _tiesModulesToSave = config.Flag("ensure_weight_tying", false)
            && _modulesToSave.Any(module => module.Split('.')[^1] is "embed_tokens" or "lm_head");
        List<string> ignored = [];
        Pairs = [.. FindPairs().Where(pair => IsTarget(pair.Module, ignored))];
        (Weights, Warnings) = FindWeights();
        Warnings = [.. ignored, .. Warnings];
        if (Pairs.Count + Weights.Count == 0) throw InvalidAdapter("changes nothing");
    }

    /// <summary>Whether a folder has an adapter.</summary>
    public static bool ExistsIn(string folder) => File.Exists(Path.Combine(folder, ConfigFile))
        && File.Exists(Path.Combine(folder, WeightsFile));

    /// <exception cref="CheckpointException">The folder has no adapter, or the adapter is damaged or of an unsupported kind.</exception>
    public static AdapterFile Open(string folder)
    {
        if (!ExistsIn(folder))
            throw Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{folder} has no {ConfigFile} with {WeightsFile}: it is not an adapter in PEFT's format.",
                File.Exists(Path.Combine(folder, "adapter_model.bin"))
                    ? "Its weights are a Python pickle, which is refused; save it again with safe_serialization=True."
                    : "Name the folder that PEFT's save_pretrained wrote.");
        ConfigReader config = ConfigReader.Open(Path.Combine(folder, ConfigFile));
        SafetensorsFile weights = SafetensorsFile.Open(Path.Combine(folder, WeightsFile));
        try { return new AdapterFile(config, weights); }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>The changes by LoRA, one for each module.</summary>
    public IReadOnlyList<LoraPair> Pairs { get; }

    /// <summary>The tensors that take the place of the model's own.</summary>
    public IReadOnlyList<AdapterWeight> Weights { get; }

    /// <summary>What a user should know about the way in which the file was read.</summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>Whether the module at a path is one of modules_to_save, or inside of one: PEFT compares the ends of the paths.</summary>
    public bool IsSavedModule(string path) =>
        Ancestors(path).Any(module => _modulesToSave.Any(saved => module.EndsWith(saved, StringComparison.Ordinal)));

    /// <summary>The path and those of the modules that contain it.</summary>
    private static IEnumerable<string> Ancestors(string path)
    {
        yield return path;
        for (int dot = path.LastIndexOf('.'); dot > 0; dot = path.LastIndexOf('.', dot - 1)) yield return path[..dot];
    }

    /// <summary>Reads a tensor of the file, which the caller owns.</summary>
    public Tensor Read(string name) => _weights.Read(name);

    public void Dispose() => _weights.Dispose();

    internal SafetensorsEntry Entry(string name) => _weights.Entries[name];

    private IEnumerable<LoraPair> FindPairs()
    {
        HashSet<string> seen = new(StringComparer.Ordinal);
        foreach (string name in _weights.Entries.Keys.Order(StringComparer.Ordinal))
        {
            (string module, string? kind) = SplitTensorName(name);
            if (kind is null || !seen.Add(module)) continue;
            bool isEmbedding = kind is "lora_embedding_A" or "lora_embedding_B";
            string a = name.Replace(kind, isEmbedding ? "lora_embedding_A" : "lora_A.weight", StringComparison.Ordinal);
            string b = name.Replace(kind, isEmbedding ? "lora_embedding_B" : "lora_B.weight", StringComparison.Ordinal);
            foreach (string tensor in (string[])[a, b])
                if (!_weights.Entries.ContainsKey(tensor)) throw InvalidAdapter($"has `{name}` and not `{tensor}`");
            yield return new LoraPair(module, a, b, isEmbedding, (int)ValueFor(_ranks, module, _rank), ScalingOf(module));
        }
    }

    /// <summary>Whether the config gives a module matrices; if not, a warning is added.</summary>
    private bool IsTarget(string module, List<string> warnings)
    {
        try
        {
            if (_targets.Contains(module)) return true;
        }
        catch (RegexMatchTimeoutException e)
        {
            throw InvalidAdapter($"has the regular expression `{e.Pattern}`, which took too long on `{module}`", module: module, inner: e);
        }
        warnings.Add($"The adapter in {Path.GetDirectoryName(_weights.Path)} has matrices of `{module}`, which {ConfigFile} does not name "
            + "(target_modules, exclude_modules, layers_to_transform). PEFT does not load them, so they are not used.");
        return false;
    }

    private AdapterTargets ReadTargets()
    {
        try
        {
            return new AdapterTargets(_config);
        }
        catch (ArgumentException e)
        {
            throw InvalidAdapter($"has a regular expression that cannot be used: {e.Message}", inner: e);
        }
    }

    /// <summary>The whole tensors, without those that PEFT does not load, and a warning for each of these.</summary>
    private (IReadOnlyList<AdapterWeight>, IReadOnlyList<string> Warnings) FindWeights()
    {
        HashSet<string> targets = [.. Pairs.Select(pair => pair.Module)];
        List<string> warnings = [];
        List<AdapterWeight> found = [];
        foreach (string name in _weights.Entries.Keys.Order(StringComparer.Ordinal))
        {
            if (SplitTensorName(name).Kind is not null) continue;
            AdapterWeight weight = ReadWeight(name);
            // PEFT has the own weight of a target module at its base_layer, and ignores any other name
            if (targets.Contains(weight.Module) && !weight.IsCopy && !name.Contains(BaseLayer, StringComparison.Ordinal))
                warnings.Add($"The adapter in {Path.GetDirectoryName(_weights.Path)} has `{name}` beside LoRA's matrices of that module. "
                    + "PEFT does not load it, so it is not used.");
            else found.Add(weight);
        }
        // PEFT names the heads of several architectures there, of which a model has one
        if (_modulesToSave is [var saved, ..] && !found.Exists(weight => IsSavedModule(weight.Module)))
            throw InvalidAdapter($"names `{saved}` in `modules_to_save` and has no tensor of it",
                "The file of weights is not complete, or adapter_config.json is not its own.", saved);
        return (found, warnings);
    }

    private double ScalingOf(string module)
    {
        double rank = ValueFor(_ranks, module, _rank), scale =
            ValueFor(_alphas, module, _alpha) / (_usesRsLora ? Math.Sqrt(rank) : (int)rank);
        return Math.Abs(scale) < float.MaxValue ? scale
            : throw InvalidAdapter($"scales its change of `{module}` by {scale}, which float32 cannot hold", module: module);
    }

    /// <summary>
    /// Splits a tensor name into module path and kind, as in "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight". The kind is null
    /// for a whole tensor.
    /// </summary>
    private static (string Module, string? Kind) SplitTensorName(string name)
    {
        string path = WithoutPrefix(name);
        foreach (string kind in _kinds)
            if (path.Length > kind.Length && path.EndsWith("." + kind, StringComparison.Ordinal))
                return (path[..^(kind.Length + 1)], kind);
        return (path, null);
    }

    private static string WithoutPrefix(string name) => name.StartsWith(Prefix, StringComparison.Ordinal) ? name[Prefix.Length..] : name;

    private AdapterWeight ReadWeight(string name)
    {
        string path = WithoutPrefix(name).Replace(BaseLayer, ".", StringComparison.Ordinal);
        int dot = path.LastIndexOf('.');
        if (dot <= 0 || path.Contains("lora_", StringComparison.Ordinal) || path.Contains("trainable_tokens", StringComparison.Ordinal))
            throw InvalidAdapter($"has `{name}`, which is neither one of LoRA's matrices nor a weight of the model", UnsupportedHint, name);
        return new(path[..dot], path[(dot + 1)..], name, IsCopy: IsSavedModule(path[..dot]) && !_tiesModulesToSave);
    }

    private const string UnsupportedHint = "Merge the adapter with PEFT's merge_and_unload, save that, and load it as a model.";

    /// <summary>Rejects options that merging A and B would not apply, because the result would be silently wrong.</summary>
    private void CheckSupported()
    {
        string peftType = _config.Text("peft_type", "LORA");
        if (peftType != "LORA") throw InvalidAdapter($"is of the kind {peftType}; only LORA can be merged");
        foreach (string key in (string[])["use_dora", "lora_bias", "use_qalora", "use_bdlora", "layer_replication", "target_parameters",
            "trainable_token_indices", "alora_invocation_tokens", "arrow_config", "velora_config", "monteclora_config", "kasa_config"])
            if (_config.IsNonEmpty(key)) throw InvalidAdapter($"has `{key}`, which is not supported", UnsupportedHint);
        if (_config.Text("bias", "none") is not ("none" or "all" or "lora_only") and string bias)
            throw InvalidAdapter($"has `bias`: {bias}; known are none, all and lora_only");
        if (_config.TextOrNull("init_lora_weights") is { } initialization
            && initialization is not ("gaussian" or "eva" or "orthogonal" or "mica"))
            throw InvalidAdapter($"was started by {initialization}, which changes the model's own weights too",
                "Convert it with PEFT's path_initial_model_for_weight_conversion first.");
    }

    /// <summary>Values by regular expression over module paths. The first expression that matches a suffix of the path counts.</summary>
    /// <remarks>get_pattern_key in peft/utils/other.py</remarks>
    private List<(Regex, double)> ReadPattern(string key)
    {
        if (_config.Section(key) is not { } section) return [];
        try
        {
            return [.. section.Keys.Select(module =>
                (new Regex($@"^(.*\.)?({module})\z", RegexOptions.CultureInvariant, _regexTimeout), section.Real(module)))];
        }
        catch (ArgumentException e)
        {
            throw InvalidAdapter($"has a `{key}` with a regular expression that cannot be used: {e.Message}", inner: e);
        }
    }

    private double ValueFor(IReadOnlyList<(Regex Modules, double Value)> pattern, string module, double defaultValue)
    {
        foreach (var (modules, value) in pattern)
            try
            {
                if (modules.IsMatch(module)) return value;
            }
            catch (RegexMatchTimeoutException e)
            {
                throw InvalidAdapter($"has the regular expression `{modules}`, which took too long on `{module}`", module: module,
                    inner: e);
            }
        return defaultValue;
    }

    internal Exception InvalidAdapter(string what, string hint = "", string module = "", Exception? inner = null) =>
        Errors.CreateException(ErrorCode.BadCheckpoint, $"The adapter in {Path.GetDirectoryName(_weights.Path)} {what}.", hint, module,
            inner);
}
