using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an LFM2, dense or with experts.</summary>
/// <remarks>transformers/models/lfm2/configuration_lfm2.py, transformers/models/lfm2_moe/configuration_lfm2_moe.py</remarks>
public record Lfm2Config : DecoderConfig
{
    /// <param name="isMoe">Whether layers have experts, whose defaults are others.</param>
    public Lfm2Config(ConfigReader json, bool isMoe = false) : base(json, new()
    {
        VocabSize = 65536, MaxPositions = 128000, HiddenSize = isMoe ? 2048 : 2560, IntermediateSize = isMoe ? 7168 : 12288, NumLayers = 32,
        NumHeads = 32, NumKvHeads = 8, NormEpsKey = "norm_eps", NormEps = 1e-5, RopeTheta = 1_000_000, TieWordEmbeddings = true,
        PadTokenId = 0,
    }) { }

    /// <summary>The inputs that a convolution sees.</summary>
    public int ConvKernel => Json.Size("conv_L_cache", 3);

    public bool ConvBias => Json.Flag("conv_bias", false);

    /// <summary>Whether a layer has attention; the others have a short convolution.</summary>
    public bool IsAttention(int layer) => Json.Texts("layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "full_attention"
        : Json.Has("full_attn_idxs") ? Json.Ids("full_attn_idxs").Contains(layer) : true;

    /// <summary>The size of a dense mlp: two thirds of that of the file, rounded up to a multiple, if the file says so.</summary>
    public int MlpSize
    {
        get
        {
            if (!Json.Flag("block_auto_adjust_ff_dim", true)) return IntermediateSize;
            int multiple = Json.Size("block_multiple_of", 256);
            int size = (int)(Json.Real("block_ffn_dim_multiplier", 1.0) * (2 * IntermediateSize / 3));
            return (size + multiple - 1) / multiple * multiple;
        }
    }

    /// <param name="createMlp">Creates the mlp of a layer.</param>
    internal DecoderDescription Describe(string family, Func<DecoderDescription, int, TensorModule> createMlp) => new(this, family)
    {
        QkNorms = QkNorms.EachHead, QkNormNames = ("q_layernorm", "k_layernorm"), OutputProjectionName = "out_proj",
        FinalNormName = "embedding_norm", IsRotaryBeforeNorm = true, PassesUseCache = false, MlpName = "feed_forward",
        CreateMlp = createMlp,
        CreateLayer = (description, layer) => new HybridDecoderLayer(description, $"{family}DecoderLayer",
            IsAttention(layer) ? ("self_attn", description.CreateAttention(description, layer))
                : ("conv", new Lfm2ShortConv($"{family}ShortConv", layer, HiddenSize, ConvKernel, ConvBias)),
            ("feed_forward", description.CreateMlp(description, layer)),
            ("operator_norm", description.CreateNorm(HiddenSize)),
            ("ffn_norm", description.CreateNorm(HiddenSize))),
    };
}

/// <summary>LFM2: short convolutions between gates, and attention in a few layers.</summary>
/// <remarks>transformers/models/lfm2/modeling_lfm2.py; Liquid AI, LFM2, 2025</remarks>
[Architecture("Lfm2ForCausalLM", ModelType = "lfm2")]
public sealed class Lfm2ForCausalLM : DecoderForCausalLM
{
    public Lfm2ForCausalLM(ConfigReader json) : this(new Lfm2Config(json)) { }

    private Lfm2ForCausalLM(Lfm2Config config) : this(config, config.Describe("Lfm2",
        (description, _) => new Lfm2MLP("Lfm2MLP", config.HiddenSize, config.MlpSize))) { }

    private Lfm2ForCausalLM(Lfm2Config config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;
}

/// <summary>LFM2 with experts: sigmoid routing with a bias for the choice.</summary>
/// <remarks>transformers/models/lfm2_moe/modeling_lfm2_moe.py; Liquid AI, LFM2, 2025</remarks>
[Architecture("Lfm2MoeForCausalLM", ModelType = "lfm2_moe")]
public sealed class Lfm2MoeForCausalLM : DecoderForCausalLM
{
    public Lfm2MoeForCausalLM(ConfigReader json) : this(new Lfm2Config(json, isMoe: true)) { }

    private Lfm2MoeForCausalLM(Lfm2Config config) : this(config, config.Describe("Lfm2Moe",
        (_, layer) => layer < config.Json.Integer("num_dense_layers", 2)
            ? new Lfm2MLP("Lfm2MoeMLP", config.HiddenSize, config.IntermediateSize) : new Lfm2MoeSparseMoeBlock(config)) with
        { Rotary = (null, "pos_emb") }) { }

    private Lfm2MoeForCausalLM(Lfm2Config config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;
}

/// <summary>C · conv(B · x): a convolution of a few tokens between two gates.</summary>
public sealed partial class Lfm2ShortConv : StateSpaceMixer
{
    private readonly DepthwiseConv1d _conv;
    private readonly Linear _inProj, _outProj;

    internal Lfm2ShortConv(string className, int layer, int hiddenSize, int kernelSize, bool bias) :
        base(className, layer, new MixerCall(IsKeyword: true, "past_key_values"))
    {
        _conv = Child("conv", new DepthwiseConv1d(hiddenSize, kernelSize, bias));
        _inProj = Child("in_proj", new Linear(hiddenSize, 3 * hiddenSize, bias));
        _outProj = Child("out_proj", new Linear(hiddenSize, hiddenSize, bias));
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor[] parts = _inProj.Call(hidden).chunk(3, -1);                                         // 3 x [batch, seq, hidden]
        Tensor input = PaddingMask.Apply(parts[0] * parts[2], mask).transpose(1, 2);                // [batch, hidden, seq]
        Tensor mixed = CausalConvolution.Apply(_conv, input, cache, Layer, state: 0).transpose(1, 2); // [batch, seq, hidden]
        return _outProj.Call(parts[1] * mixed).MoveToOuterDisposeScope();                           // [batch, seq, hidden]
    }
}

/// <summary>w2(silu(w1(x)) · w3(x))</summary>
public sealed partial class Lfm2MLP : TensorModule
{
    private readonly Linear _w1, _w3, _w2;

    internal Lfm2MLP(string className, int hiddenSize, int intermediateSize)
    {
        ClassName = className;
        _w1 = Child("w1", new Linear(hiddenSize, intermediateSize, bias: false));
        _w3 = Child("w3", new Linear(hiddenSize, intermediateSize, bias: false));
        _w2 = Child("w2", new Linear(intermediateSize, hiddenSize, bias: false));
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("w3", "w2", "w1");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor intermediate = nn.functional.silu(_w1.Call(input)) * _w3.Call(input);                // [batch, seq, intermediate]
        return _w2.Call(intermediate).MoveToOuterDisposeScope();                                    // [batch, seq, hidden]
    }
}

public sealed partial class Lfm2MoeSparseMoeBlock : TensorModule
{
    private readonly Linear _gate;
    private readonly Lfm2MoeExperts _experts;
    private readonly Parameter? _expertBias; // [experts]
    private readonly ExpertRouting _routing;

    internal Lfm2MoeSparseMoeBlock(Lfm2Config config)
    {
        ConfigReader json = config.Json;
        int numExperts = json.Size("num_experts", 32);
        _routing = new ExpertRouting(json.Size("num_experts_per_tok", 4))
        {
            IsSigmoid = true, NormTopKProb = json.Flag("norm_topk_prob", true), NormEpsilon = 1e-6,
            ScalingFactor = json.Real("routed_scaling_factor", 1),
        };
        _gate = Child("gate", new Linear(config.HiddenSize, numExperts, bias: false));
        _gate.SetAxes(Axes.Flat);
        _experts = Child("experts", new Lfm2MoeExperts(numExperts, config.HiddenSize, json.Size("moe_intermediate_size", 1792)));
        if (json.Flag("use_expert_bias", true)) _expertBias = Buffer("expert_bias", numExperts);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        var (indices, weights) = _routing.Route(_gate.Call(hidden), _expertBias?.Value);            // 2 x [batch · seq, chosen]
        return _experts.Call(hidden, indices, weights).view(input.shape).MoveToOuterDisposeScope(); // [batch, seq, hidden]
    }
}

/// <summary>Gated mlps without a module for the activation.</summary>
public sealed partial class Lfm2MoeExperts : RoutedExperts
{
    private readonly Parameter _gateUpProj; // [experts, 2 intermediate, hidden]
    private readonly Parameter _downProj;   // [experts, hidden, intermediate]

    internal Lfm2MoeExperts(int numExperts, int hiddenSize, int intermediateSize)
    {
        (_gateUpProj, _downProj) = (
            Weight("gate_up_proj", [numExperts, 2 * intermediateSize, hiddenSize], [.. Enumerable.Range(0, numExperts).SelectMany(e =>
                new (string, long[])[]
                {
                    ($"{e}.w1.weight", [intermediateSize, hiddenSize]), ($"{e}.w3.weight", [intermediateSize, hiddenSize]),
                })],
                inFeaturesDim: 2),
            Weight("down_proj", [numExperts, hiddenSize, intermediateSize], [.. Enumerable.Range(0, numExperts).Select(e =>
                ($"{e}.w2.weight", (long[])[hiddenSize, intermediateSize]))], inFeaturesDim: 2));
        var silu = Activation.Silu();
        AddExperts(numExperts, i => new GatedExpert("Lfm2MoeExpert", i, _gateUpProj, _downProj, silu));
    }

    protected override Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        using var scope = NewDisposeScope();
        RoutedTokens routed = new(topKIndex, _downProj.Shape[0]);
        (Tensor gateUpProj, Tensor downProj) = (_gateUpProj.Value, _downProj.Value);
        Tensor gateUp = routed.Multiply(routed.Select(hidden),
            (expert, own) => LinearKernels.linear(own, gateUpProj[expert], null));                  // [pairs, 2 intermediate]
        Tensor[] gateAndUp = gateUp.chunk(2, -1);                                                   // 2 x [pairs, intermediate]
        Tensor intermediate = nn.functional.silu(gateAndUp[0]) * gateAndUp[1];                      // [pairs, intermediate]
        Tensor outputs = routed.Multiply(intermediate,
            (expert, own) => LinearKernels.linear(own, downProj[expert], null));                    // [pairs, hidden]
        return routed.Combine(outputs, topKWeights).to(hidden.dtype).MoveToOuterDisposeScope();     // [batch · seq, hidden]
    }
}
