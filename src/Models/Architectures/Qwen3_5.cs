using Ndif.Models.Config;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Qwen3.5, text only, or the text_config of a multimodal one.</summary>
/// <remarks>
/// Qwen3_5TextConfig in transformers/models/qwen3_5/configuration_qwen3_5.py, Qwen3_5MoeTextConfig in
/// transformers/models/qwen3_5_moe/configuration_qwen3_5_moe.py
/// </remarks>
public sealed record Qwen3_5TextConfig : Qwen3NextConfig
{
    /// <param name="isMoe">Whether layers have experts, whose defaults are others.</param>
    public Qwen3_5TextConfig(ConfigReader json, bool isMoe) : base(json, new()
    {
        VocabSize = 248320, MaxPositions = 32768, HiddenSize = isMoe ? 2048 : 4096, IntermediateSize = isMoe ? 5632 : 12288,
        NumLayers = isMoe ? 40 : 32, NumHeads = 16, NumKvHeads = isMoe ? 2 : 4, HeadDim = 256, PartialRotaryFactor = 0.25,
    }) => IsMoe = isMoe;

    public bool IsMoe { get; }

    public override int NumExperts => IsMoe ? Json.Size("num_experts", 256) : 0;

    /// <summary>The description of the language model.</summary>
    internal DecoderDescription Describe()
    {
        string family = IsMoe ? "Qwen3_5Moe" : "Qwen3_5";
        IReadOnlyList<int> sections = Json.Section("rope_parameters")?.Ids("mrope_section") ?? [];
        return Describe(family, (description, layer) => new Qwen3_5GatedDeltaNet(
            $"{family}GatedDeltaNet", layer, IsMoe, DeltaNet, description.CreateActivation(), $"{family}RMSNormGated")) with
        {
            ModelClass = $"{family}TextModel", Rotary = ($"{family}TextRotaryEmbedding", "rotary_emb"), PassesRouterLogits = IsMoe,
            RotarySections = sections.Count == 3 ? sections : [11, 11, 10],
        };
    }
}

/// <summary>Qwen3.5, text only: a dense Qwen3-Next with separate projections of the delta net.</summary>
/// <remarks>transformers/models/qwen3_5/modeling_qwen3_5.py; Qwen Team, Qwen3.5, 2026</remarks>
[Architecture("Qwen3_5ForCausalLM", ModelType = "qwen3_5_text")]
public sealed class Qwen3_5ForCausalLM(ConfigReader json) : Qwen3_5Decoder(new Qwen3_5TextConfig(json, isMoe: false));

/// <summary>Qwen3.5 with experts, text only.</summary>
/// <remarks>transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py; Qwen Team, Qwen3.5, 2026</remarks>
[Architecture("Qwen3_5MoeForCausalLM", ModelType = "qwen3_5_moe_text")]
public sealed class Qwen3_5MoeForCausalLM(ConfigReader json) : Qwen3_5Decoder(new Qwen3_5TextConfig(json, isMoe: true));

/// <summary>The language model of a Qwen3.5 with its head.</summary>
public abstract class Qwen3_5Decoder : DecoderForCausalLM
{
    private protected Qwen3_5Decoder(Qwen3_5TextConfig config) : this(config, config.Describe()) { }

    private Qwen3_5Decoder(Qwen3_5TextConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    /// <summary>The weights for the prediction of several tokens, and those for images.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => ["mtp.", "model.visual."];

    /// <summary>Checkpoints of multimodal models have the language model one level deeper.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.Replace("model.language_model.", "model.", StringComparison.Ordinal);
}

/// <summary>The text part of a multimodal Qwen3.5.</summary>
/// <remarks>Qwen3_5ForConditionalGeneration in transformers/models/qwen3_5/modeling_qwen3_5.py</remarks>
[Architecture("Qwen3_5ForConditionalGeneration", ModelType = "qwen3_5")]
public sealed class Qwen3_5ForConditionalGeneration(ConfigReader json) :
    Qwen3_5Multimodal(new Qwen3_5TextConfig(TextConfig(json), isMoe: false), "Qwen3_5Model");

/// <summary>The text part of a multimodal Qwen3.5 with experts.</summary>
/// <remarks>Qwen3_5MoeForConditionalGeneration in transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py</remarks>
[Architecture("Qwen3_5MoeForConditionalGeneration", ModelType = "qwen3_5_moe")]
public sealed class Qwen3_5MoeForConditionalGeneration(ConfigReader json) :
    Qwen3_5Multimodal(new Qwen3_5TextConfig(TextConfig(json), isMoe: true), "Qwen3_5MoeModel");

/// <summary>The text part of a multimodal Qwen3.5, dense or with experts.</summary>
public abstract class Qwen3_5Multimodal : MultimodalForConditionalGeneration
{
    private protected Qwen3_5Multimodal(Qwen3_5TextConfig config, string modelClass) :
        this(config, config.Describe() with { TakesEmbeddings = true }, modelClass) { }

    private Qwen3_5Multimodal(Qwen3_5TextConfig config, DecoderDescription description, string modelClass) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer)), modelClass) { }

    public override bool HasStatesBesideKeys => true;
}

/// <summary>A delta net with separate projections of queries, keys and values together, gate, strength and decay.</summary>
public sealed partial class Qwen3_5GatedDeltaNet : GatedDeltaNet
{
    private readonly DepthwiseConv1d _conv1d;
    private readonly Linear _inProjQkv, _inProjZ, _inProjB, _inProjA, _outProj;
    private readonly GatedRMSNorm _norm;

    internal Qwen3_5GatedDeltaNet(
        string className, int layer, bool passesRouterLogits, DeltaNetConfig config, Activation activation, string normClass) :
        base(className, layer, new MixerCall(IsKeyword: true) { PassesUseCache = true, PassesRouterLogits = passesRouterLogits }, config)
    {
        Child("act", activation);
        _conv1d = Child("conv1d", new DepthwiseConv1d(config.ConvDim, config.ConvKernel, bias: false));
        _norm = Child("norm", new GatedRMSNorm(normClass, config.ValueHeadDim, config.NormEps, normsBeforeGate: true,
            axes: Axes.Unknown)); // tokens and heads in one dimension
        _outProj = Child("out_proj", new Linear(config.ValueDim, config.HiddenSize, bias: false));
        _inProjQkv = Child("in_proj_qkv", new Linear(config.HiddenSize, config.ConvDim, bias: false));
        _inProjZ = Child("in_proj_z", new Linear(config.HiddenSize, config.ValueDim, bias: false));
        _inProjB = Child("in_proj_b", new Linear(config.HiddenSize, config.NumValueHeads, bias: false));
        _inProjA = Child("in_proj_a", new Linear(config.HiddenSize, config.NumValueHeads, bias: false));
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor mixed = PaddingMask.Apply(_inProjQkv.Call(hidden), mask).transpose(1, 2);            // [batch, convDim, seq]
        Tensor gate = _inProjZ.Call(hidden).reshape(-1, Config.ValueHeadDim); // [batch · seq · valueHeads, valueHeadDim]
        Tensor b = _inProjB.Call(hidden), a = _inProjA.Call(hidden);                                // 2 x [batch, seq, valueHeads]
        mixed = nn.functional.silu(CausalConvolution.Apply(_conv1d, mixed, cache, Layer, ConvolutionState)); // [batch, convDim, seq]
        Tensor output = Mix(mixed.transpose(1, 2), b, a, cache, mask); // [batch, seq, valueHeads, valueHeadDim]
        Tensor normal = _norm.Call(output.reshape(-1, Config.ValueHeadDim), gate); // [batch · seq · valueHeads, valueHeadDim]
        Tensor flat = normal.view(hidden.size(0), hidden.size(1), -1);                              // [batch, seq, valueDim]
        return _outProj.Call(flat).MoveToOuterDisposeScope();                                       // [batch, seq, hidden]
    }
}
