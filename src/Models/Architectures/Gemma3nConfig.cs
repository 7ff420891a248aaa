using System.Text.Json;
using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Gemma 3n, text only, or the text_config of a multimodal one.</summary>
/// <remarks>Gemma3nTextConfig in transformers/models/gemma3n/configuration_gemma3n.py</remarks>
public sealed record Gemma3nTextConfig : DecoderConfig
{
    private readonly double[] _sizes, _sparsity; // by layer

    public Gemma3nTextConfig(ConfigReader json) : base(WithOneSize(json), new()
    {
        VocabSize = 262400, MaxPositions = 32768, HiddenSize = 2048, IntermediateSize = 16384, NumLayers = 35, NumHeads = 8, NumKvHeads = 2,
        HeadDim = 256, TieWordEmbeddings = true, PadTokenId = 0,
    })
    {
        RopeParameters = RopeParameters.Read(json, "full_attention", 1_000_000);
        LocalRopeParameters = json.Section("rope_parameters")?.Has("sliding_attention") ?? false
            ? RopeParameters.Read(json, "sliding_attention")
            : new RopeParameters("default", json.Real("rope_local_base_freq", 10000), 1.0, null);
        IReadOnlyList<string> types = SlidingWindows.LayerTypes(json, NumLayers);
        if (types.Count == 0)
            types = [.. Enumerable.Range(1, NumLayers).Select(layer => layer % 5 == 0 ? "full_attention" : "sliding_attention")];
        Sharing = new KeySharing(json, types, json.Integer("num_kv_shared_layers", 15));
        _sizes = ByLayer(json, "intermediate_size", _ => IntermediateSize);
        int sparse = NumLayers > 10 ? 10 : 0;
        _sparsity = ByLayer(json, "activation_sparsity_pattern", layer => layer < sparse ? 0.95 : 0);
        if (_sparsity.FirstOrDefault(value => value is < 0 or >= 1) is not 0 and var wrong)
            throw json.InvalidValue("activation_sparsity_pattern", "must have fractions from 0 to below 1", $"{wrong}");
        if (_sizes.FirstOrDefault(size => size < 1 || size != Math.Floor(size), 1) is not 1 and var size)
            throw json.InvalidValue("intermediate_size", "must have positive whole numbers", $"{size}");
        if (ActiveInput < 0 || ActiveInput >= NumInputs)
            throw json.InvalidValue("altup_active_idx", $"must be from 0 to {NumInputs - 1}", $"{ActiveInput}");
    }

    /// <summary>Those of layers with a window.</summary>
    public RopeParameters LocalRopeParameters { get; }

    internal KeySharing Sharing { get; }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    public int SlidingWindow => Json.Size("sliding_window", 512);

    /// <summary>The number of residual streams.</summary>
    public int NumInputs => Json.Size("altup_num_inputs", 4);

    /// <summary>The residual stream that attention and mlp read.</summary>
    public int ActiveInput => Json.Count("altup_active_idx", 0);

    public bool ScalesCorrectedInput => Json.Flag("altup_correct_scale", true);

    public int LaurelRank => Json.Size("laurel_rank", 64);

    /// <summary>The size of the input that each layer has for itself.</summary>
    public int PerLayerInputSize => Json.Size("hidden_size_per_layer_input", 256);

    public int PerLayerVocabSize => Json.Size("vocab_size_per_layer_input", 262144);

    public int IntermediateSizeOf(int layer) => (int)_sizes[layer];

    /// <summary>The fraction of a layer's gate that is cut off; 0 for none.</summary>
    public double SparsityOf(int layer) => _sparsity[layer];

    internal Activation CreateActivation() => Activation.Read(Json, "hidden_activation", "gelu_pytorch_tanh");

    internal RMSNorm CreateNorm(int size, bool hasWeight = true) =>
        new("Gemma3nRMSNorm", size, NormEps, NormKind.RmsRoundedOnce, format: "", hasWeight: hasWeight);

    internal DecoderDescription Describe() => new(this, "Gemma3n")
    {
        LogitSoftCap = Json.IsNull("final_logit_softcapping") ? null : Json.Real("final_logit_softcapping", 30),
    };

    /// <summary>The file with a number where it has a list of sizes.</summary>
    private static ConfigReader WithOneSize(ConfigReader json) =>
        json.Raw("intermediate_size") is { ValueKind: JsonValueKind.Array } ? json.With("intermediate_size", 1) : json;

    /// <summary>A key with one number for all layers, or one for each.</summary>
    private double[] ByLayer(ConfigReader json, string key, Func<int, double> defaultValue)
    {
        if (json.Raw(key) is not { } value) return [.. Enumerable.Range(0, NumLayers).Select(defaultValue)];
        if (value.ValueKind == JsonValueKind.Number) return [.. Enumerable.Repeat(json.Real(key), NumLayers)];
        IReadOnlyList<double> values = json.Reals(key);
        return values.Count == NumLayers ? [.. values]
            : throw json.InvalidValue(key, $"must have a number for each of {NumLayers} layers", $"{values.Count} of them");
    }
}
