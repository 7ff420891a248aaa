using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OLMo Hybrid.</summary>
/// <remarks>transformers/models/olmo_hybrid/configuration_olmo_hybrid.py</remarks>
public sealed record OlmoHybridConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 100352, MaxPositions = 65536, HiddenSize = 3840, IntermediateSize = 11008, NumLayers = 32, NumHeads = 30,
    PadTokenId = 100277,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>Whether positions rotate queries and keys; a model for long contexts has none.</summary>
    public bool HasPositions => Json.Has("rope_parameters") || Json.Has("rope_theta");

    /// <summary>Whether a layer has attention: each fourth and the last, if the file does not say.</summary>
    public bool IsAttention(int layer) => Json.Texts("layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "full_attention" : layer % 4 == 3 || layer == NumLayers - 1;

    internal DeltaNetConfig DeltaNet
    {
        get
        {
            int keyHeads = Json.Size("linear_num_key_heads", NumHeads);
            int keyDim = Json.Size("linear_key_head_dim", (int)(0.75 * HiddenSize / keyHeads));
            return new(HiddenSize, keyHeads, Json.Size("linear_num_value_heads", NumHeads), keyDim,
                Json.Size("linear_value_head_dim", 2 * keyDim), Json.Size("linear_conv_kernel_dim", 4), NormEps)
            {
                BetaScale = Json.Flag("linear_allow_neg_eigval", true) ? 2 : 1,
            };
        }
    }
}

/// <summary>OLMo Hybrid: an OLMo 3 in which most layers have a gated delta net instead of attention.</summary>
/// <remarks>transformers/models/olmo_hybrid/modeling_olmo_hybrid.py; OLMo team, 2026</remarks>
[Architecture("OlmoHybridForCausalLM", ModelType = "olmo_hybrid")]
public sealed class OlmoHybridForCausalLM : DecoderForCausalLM
{
    public OlmoHybridForCausalLM(ConfigReader json) : this(new OlmoHybridConfig(json)) { }

    private OlmoHybridForCausalLM(OlmoHybridConfig config) : this(config, Describe(config)) { }

    private OlmoHybridForCausalLM(OlmoHybridConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    /// <summary>Checkpoints have other names for the norms.</summary>
    public override string ToTreeName(string tensorName) => tensorName
        .Replace(".attention_layer_norm.", ".input_layernorm.", StringComparison.Ordinal)
        .Replace(".feedforward_layer_norm.", ".post_attention_layernorm.", StringComparison.Ordinal);

    private static DecoderDescription Describe(OlmoHybridConfig config) => new(config, "OlmoHybrid")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Norm = NormKind.RmsRoundedOnce, LayerNorms = LayerNorms.After,
        QkNorms = QkNorms.AllHeads, RotatesInFloat32 = true, PassesPositionIdsByPosition = true,
        HasRotaryEmbedding = config.HasPositions, HasRotaryPositions = _ => config.HasPositions,
        CreateLayer = (description, layer) => config.IsAttention(layer)
            ? new DecoderLayer(description, layer, "OlmoHybridAttentionDecoderLayer")
            : new HybridDecoderLayer(description with { HasRotaryEmbedding = false }, "OlmoHybridLinearAttentionDecoderLayer",
                ("mlp", description.CreateMlp(description, layer)),
                ("input_layernorm", description.CreateNorm(config.HiddenSize)),
                ("post_attention_layernorm", description.CreateNorm(config.HiddenSize)),
                ("linear_attn", new OlmoHybridGatedDeltaNet(layer, config.DeltaNet))),
    };
}

/// <summary>A delta net with projections and convolutions of queries, keys and values of their own.</summary>
public sealed partial class OlmoHybridGatedDeltaNet : GatedDeltaNet
{
    private readonly Linear _qProj, _kProj, _vProj, _aProj, _bProj, _gProj, _oProj;
    private readonly OlmoHybridShortConvolution _qConv1d, _kConv1d, _vConv1d;
    private readonly GatedRMSNorm _oNorm;

    internal OlmoHybridGatedDeltaNet(int layer, DeltaNetConfig config) :
        base("OlmoHybridGatedDeltaNet", layer, new MixerCall(IsKeyword: true), config, isALogFirst: true)
    {
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.KeyDim, bias: false));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.KeyDim, bias: false));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.ValueDim, bias: false));
        _aProj = Child("a_proj", new Linear(config.HiddenSize, config.NumValueHeads, bias: false));
        _bProj = Child("b_proj", new Linear(config.HiddenSize, config.NumValueHeads, bias: false));
        _gProj = Child("g_proj", new Linear(config.HiddenSize, config.ValueDim, bias: false));
        _oProj = Child("o_proj", new Linear(config.ValueDim, config.HiddenSize, bias: false));
        _qConv1d = Child("q_conv1d", new OlmoHybridShortConvolution(config.KeyDim, config.ConvKernel));
        _kConv1d = Child("k_conv1d", new OlmoHybridShortConvolution(config.KeyDim, config.ConvKernel));
        _vConv1d = Child("v_conv1d", new OlmoHybridShortConvolution(config.ValueDim, config.ConvKernel));
        _oNorm = Child("o_norm", new GatedRMSNorm("OlmoHybridRMSNormGated", config.ValueHeadDim, epsilon: 1e-5, normsBeforeGate: true,
            axes: Axes.Unknown)); // tokens and heads in one dimension
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor query = _qProj.Call(hidden), key = _kProj.Call(hidden), value = _vProj.Call(hidden); // 3 x [batch, seq, keyDim or valueDim]
        query = Convolve(_qConv1d, query, cache, ConvolutionState, mask);                           // [batch, seq, keyDim]
        key = Convolve(_kConv1d, key, cache, ConvolutionState + 1, mask);                           // [batch, seq, keyDim]
        value = Convolve(_vConv1d, value, cache, ConvolutionState + 2, mask);                       // [batch, seq, valueDim]
        Tensor b = _bProj.Call(hidden), a = _aProj.Call(hidden);                                    // 2 x [batch, seq, valueHeads]
        Tensor output = Mix(cat([query, key, value], -1), b, a, cache, mask); // [batch, seq, valueHeads, valueHeadDim]
        Tensor gate = _gProj.Call(hidden).reshape(-1, Config.ValueHeadDim); // [batch · seq · valueHeads, valueHeadDim]
        Tensor normal = _oNorm.Call(output.reshape(-1, Config.ValueHeadDim), gate); // [batch · seq · valueHeads, valueHeadDim]
        Tensor flat = normal.view(hidden.size(0), hidden.size(1), -1);                              // [batch, seq, valueDim]
        return _oProj.Call(flat).MoveToOuterDisposeScope();                                         // [batch, seq, hidden]
    }

    private Tensor Convolve(OlmoHybridShortConvolution convolution, Tensor x, KeyValueCache? cache, int state, Tensor? mask)
    {
        object?[] result = convolution.Call(PaddingMask.Apply(x, mask), cache?.State(Layer, state), cache is not null);
        if (result[1] is Tensor next) cache?.SetState(Layer, state, next);
        return (Tensor)result[0]!;
    }
}

/// <summary>silu of a convolution of each channel over the last tokens; returns its last inputs too.</summary>
public sealed partial class OlmoHybridShortConvolution : SiteModule
{
    private readonly int _channels, _kernelSize;
    private readonly Parameter _weight; // [channels, 1, kernelSize]
    private readonly Activation _actFn;

    internal OlmoHybridShortConvolution(int channels, int kernelSize)
    {
        (_channels, _kernelSize) = (channels, kernelSize);
        _weight = Weight("weight", channels, 1, kernelSize);
        _actFn = Child("act_fn", Activation.Silu());
        _actFn.SetAxes(new Axes(0, 2));
    }

    public override string ExtraRepr => $"{_channels}, {_channels}, kernel_size=({_kernelSize},), stride=(1,), "
        + $"padding=({_kernelSize - 1},), groups={_channels}, bias=False";

    public override Axes OutputAxes(int element) => element == 1 ? Axes.BatchOnly : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument == "cache" ? Axes.BatchOnly : Axes.Hidden;

    /// <param name="input">[batch, seq, channels]</param>
    /// <param name="earlier">The inputs before these, [batch, channels, kernelSize - 1]; null for zeros.</param>
    /// <returns>A tuple: output [batch, seq, channels], the last inputs [batch, channels, kernelSize - 1].</returns>
    public object?[] Call(Tensor input, Tensor? earlier, bool outputsState) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([input],
            [
                .. earlier is null ? [] : (KeyValuePair<string, object?>[])[new("cache", earlier)],
                new("use_precomputed", earlier is not null), new("output_final_state", outputsState),
            ]))
        : Forward(input, earlier);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Get(1, "cache") as Tensor);

    /// <param name="window">[batch, channels, kernelSize - 1 + seq]</param>
    /// <returns>[batch, channels, seq]</returns>
    private Tensor Convolve(Tensor window) => window.device_type == TorchSharp.DeviceType.META
        ? empty([window.size(0), _channels, window.size(2) - _kernelSize + 1], window.dtype, window.device) // libtorch has no meta kernel
        : nn.functional.conv1d(window, _weight.Value, groups: _channels);

    private object?[] Forward(Tensor input, Tensor? earlier)
    {
        using var scope = NewDisposeScope();
        Tensor columns = input.transpose(1, 2);                                                     // [batch, channels, seq]
        Tensor before = earlier ?? zeros([input.size(0), _channels, _kernelSize - 1], input.dtype, input.device);
        Tensor window = cat([before, columns], 2); // [batch, channels, kernelSize - 1 + seq]
        Tensor convolved = Convolve(window);                                                        // [batch, channels, seq]
        Tensor output = _actFn.Call(convolved).transpose(1, 2);                                     // [batch, seq, channels]
        Tensor last = window.narrow(2, window.size(2) - (_kernelSize - 1), _kernelSize - 1);        // [batch, channels, kernelSize - 1]
        return [output.MoveToOuterDisposeScope(), last.MoveToOuterDisposeScope()];
    }
}
