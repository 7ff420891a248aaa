using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Qwen3-Next or a Qwen3.5.</summary>
/// <remarks>
/// transformers/models/qwen3_next/configuration_qwen3_next.py, transformers/models/qwen3_5/configuration_qwen3_5.py and
/// transformers/models/qwen3_5_moe/configuration_qwen3_5_moe.py
/// </remarks>
public record Qwen3NextConfig : DecoderConfig
{
    public Qwen3NextConfig(ConfigReader json) : this(json, new()
    {
        VocabSize = 151936, MaxPositions = 32768, HiddenSize = 2048, IntermediateSize = 5632, NumLayers = 48, NumHeads = 16, NumKvHeads = 2,
        HeadDim = 256, PartialRotaryFactor = 0.25,
    }) { }

    protected Qwen3NextConfig(ConfigReader json, DecoderDefaults defaults) : base(json, defaults)
    {
        // as in transformers, the factor of rope_parameters has precedence over that of the file
        if (json.Section("rope_parameters") is { } rope && rope.Has("partial_rotary_factor"))
            RopeParameters = RopeParameters with { PartialRotaryFactor = rope.Real("partial_rotary_factor") };
    }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    public virtual int NumExperts => Json.Count("num_experts", 512);

    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 10);

    public int MoeIntermediateSize => Json.Size("moe_intermediate_size", 512);

    public int SharedExpertIntermediateSize => Json.Size("shared_expert_intermediate_size", 512);

    /// <summary>Whether a layer has attention; the others have a gated delta net.</summary>
    public bool IsAttention(int layer) => Json.Texts("layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "full_attention" : (layer + 1) % Json.Size("full_attention_interval", 4) == 0;

    public bool IsSparse(int layer) => NumExperts > 0 && !Json.Ids("mlp_only_layers").Contains(layer)
        && (layer + 1) % Json.Size("decoder_sparse_step", 1) == 0;

    /// <summary>The description of the family; its delta net is created from a layer.</summary>
    internal DecoderDescription Describe(string family, Func<DecoderDescription, int, StateSpaceMixer> createMixer) => new(this, family)
    {
        Norm = NormKind.RmsUnitOffset, IsPartialRotary = true, PassesPositionIdsByPosition = true,
        CreateAttention = static (description, layer) => new Qwen3NextAttention(description, layer),
        CreateMlp = (description, layer) => IsSparse(layer)
            ? new SparseMoeBlock($"{family}SparseMoeBlock",
                new TopKRouter($"{family}TopKRouter", NumExperts, HiddenSize, NumExpertsPerToken, Json.Flag("norm_topk_prob", true),
                    castsToModelType: true),
                new Experts($"{family}Experts", NumExperts, HiddenSize, MoeIntermediateSize, description.CreateActivation(),
                    ("gate_proj", "up_proj", "down_proj")),
                sharedExpert: CreateMlp(description, SharedExpertIntermediateSize), hiddenSize: HiddenSize)
            : CreateMlp(description, IntermediateSize),
        CreateLayer = (description, layer) => new HybridDecoderLayer(description, $"{family}DecoderLayer",
            IsAttention(layer) ? ("self_attn", description.CreateAttention(description, layer))
                : ("linear_attn", createMixer(description, layer)),
            ("mlp", description.CreateMlp(description, layer)),
            ("input_layernorm", description.CreateNorm(HiddenSize)),
            ("post_attention_layernorm", description.CreateNorm(HiddenSize))),
    };

    internal DeltaNetConfig DeltaNet => new(HiddenSize, Json.Size("linear_num_key_heads", 16), Json.Size("linear_num_value_heads", 32),
        Json.Size("linear_key_head_dim", 128), Json.Size("linear_value_head_dim", 128), Json.Size("linear_conv_kernel_dim", 4), NormEps);

    private static GatedMlp CreateMlp(DecoderDescription description, int intermediateSize) =>
        new($"{description.Family}MLP", description.Config.HiddenSize, intermediateSize, description.CreateActivation());
}

/// <summary>Qwen3-Next: three of four layers have a gated delta net instead of attention, and all have experts.</summary>
/// <remarks>transformers/models/qwen3_next/modeling_qwen3_next.py; Qwen Team, Qwen3-Next, 2025</remarks>
[Architecture("Qwen3NextForCausalLM", ModelType = "qwen3_next")]
public sealed class Qwen3NextForCausalLM : DecoderForCausalLM
{
    public Qwen3NextForCausalLM(ConfigReader json) : this(new Qwen3NextConfig(json)) { }

    private Qwen3NextForCausalLM(Qwen3NextConfig config) : this(config, config.Describe("Qwen3Next",
        (description, layer) => new Qwen3NextGatedDeltaNet(layer, config.DeltaNet, description.CreateActivation())) with
        { PassesRouterLogits = true }) { }

    private Qwen3NextForCausalLM(Qwen3NextConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    /// <summary>The weights for the prediction of several tokens.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => ["mtp."];
}

/// <summary>Attention whose output is multiplied by a gate; each head of the projection has the query and then the gate.</summary>
public sealed partial class Qwen3NextAttention : DecoderAttention
{
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly TensorModule _qNorm, _kNorm;

    internal Qwen3NextAttention(DecoderDescription description, int layer) : base(description, layer)
    {
        (int hiddenSize, bool bias) = (description.Config.HiddenSize, description.Config.Json.Flag("attention_bias", false));
        _qProj = Child("q_proj", new Linear(hiddenSize, NumHeads * HeadDim * 2, bias));
        _kProj = Child("k_proj", new Linear(hiddenSize, NumKvHeads * HeadDim, bias));
        _vProj = Child("v_proj", new Linear(hiddenSize, NumKvHeads * HeadDim, bias));
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, hiddenSize, bias));
        _qNorm = Child("q_norm", description.CreateNorm(HeadDim));
        _kNorm = Child("k_norm", description.CreateNorm(HeadDim));
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        (long batch, long seqLen) = (hidden.size(0), hidden.size(1));
        // 2 x [batch, seq, heads, headDim]
        Tensor[] queryAndGate = _qProj.Call(hidden).view(batch, seqLen, NumHeads, 2 * HeadDim).chunk(2, -1);
        Tensor gate = queryAndGate[1].reshape(batch, seqLen, -1);                                   // [batch, seq, heads · headDim]
        Tensor query = _qNorm.Call(queryAndGate[0]).transpose(1, 2);                                // [batch, heads, seq, headDim]
        // [batch, kvHeads, seq, headDim]
        Tensor key = _kNorm.Call(_kProj.Call(hidden).view(batch, seqLen, NumKvHeads, HeadDim)).transpose(1, 2);
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), NumKvHeads, HeadDim);         // [batch, kvHeads, seq, headDim]
        query = PartialRotary.Rotate(query, positionEmbeddings);                                    // [batch, heads, seq, headDim]
        key = PartialRotary.Rotate(key, positionEmbeddings);                                        // [batch, kvHeads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor gated = mixed.flatten(2) * gate.sigmoid();                                           // [batch, seq, heads · headDim]
        Tensor output = _oProj.Call(gated);                                                         // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

/// <summary>A delta net whose projections have queries, keys, values and gate by key head.</summary>
public sealed partial class Qwen3NextGatedDeltaNet : GatedDeltaNet
{
    private readonly DepthwiseConv1d _conv1d;
    private readonly Linear _inProjQkvz, _inProjBa, _outProj;
    private readonly GatedRMSNorm _norm;

    internal Qwen3NextGatedDeltaNet(int layer, DeltaNetConfig config, Activation activation) : base(
        "Qwen3NextGatedDeltaNet", layer, new MixerCall(IsKeyword: true) { PassesUseCache = true, PassesRouterLogits = true }, config)
    {
        Child("act", activation);
        _conv1d = Child("conv1d", new DepthwiseConv1d(config.ConvDim, config.ConvKernel, bias: false));
        _inProjQkvz = Child("in_proj_qkvz", new Linear(config.HiddenSize, 2 * (config.KeyDim + config.ValueDim), bias: false));
        _inProjBa = Child("in_proj_ba", new Linear(config.HiddenSize, 2 * config.NumValueHeads, bias: false));
        _norm = Child("norm", new GatedRMSNorm("Qwen3NextRMSNormGated", config.ValueHeadDim, config.NormEps, normsBeforeGate: true,
            axes: Axes.Unknown)); // tokens and heads in one dimension
        _outProj = Child("out_proj", new Linear(config.ValueDim, config.HiddenSize, bias: false));
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        int groups = Config.NumKeyHeads, perGroup = Config.NumValueHeads / groups, valueSize = perGroup * Config.ValueHeadDim;
        Tensor[] qkvz = _inProjQkvz.Call(hidden).unflatten(2, groups, -1)
            .split([Config.KeyHeadDim, Config.KeyHeadDim, valueSize, valueSize], -1);               // 4 x [batch, seq, groups, ...]
        Tensor[] ba = _inProjBa.Call(hidden).unflatten(2, groups, -1).split([perGroup, perGroup], -1); // 2 x [batch, seq, groups, perGroup]
        Tensor mixed = cat([qkvz[0].flatten(2), qkvz[1].flatten(2), qkvz[2].flatten(2)], -1);       // [batch, seq, convDim]
        mixed = PaddingMask.Apply(mixed, mask).transpose(1, 2);                                     // [batch, convDim, seq]
        mixed = nn.functional.silu(CausalConvolution.Apply(_conv1d, mixed, cache, Layer, ConvolutionState)); // [batch, convDim, seq]
        // [batch, seq, valueHeads, valueHeadDim]
        Tensor output = Mix(mixed.transpose(1, 2), ba[0].flatten(2), ba[1].flatten(2), cache, mask);
        Tensor normal = _norm.Call(output.reshape(-1, Config.ValueHeadDim), qkvz[3].reshape(-1, Config.ValueHeadDim));
        Tensor flat = normal.view(hidden.size(0), hidden.size(1), -1);                              // [batch, seq, valueDim]
        return _outProj.Call(flat).MoveToOuterDisposeScope();                                       // [batch, seq, hidden]
    }
}
