using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Nemotron-H or a Nemotron 3.</summary>
/// <remarks>transformers/models/nemotron_h/configuration_nemotron_h.py</remarks>
public sealed record NemotronHConfig : DecoderConfig
{
    private static readonly Dictionary<char, string> _kinds = new() { ['M'] = "mamba", ['*'] = "attention", ['-'] = "mlp", ['E'] = "moe" };

    public NemotronHConfig(ConfigReader json) : base(WithLayers(json), new()
    {
        VocabSize = 131072, MaxPositions = 4096, HiddenSize = 4096, IntermediateSize = 21504, NumLayers = 52, NumHeads = 32, NumKvHeads = 8,
        HeadDim = 128, NormEpsKey = "layer_norm_epsilon", NormEps = 1e-5
    }) => (Kinds, PadTokenId) = (ReadKinds(json), null); // its embedding is made without

    /// <summary>What each layer has: mamba, attention, mlp or moe.</summary>
    public IReadOnlyList<string> Kinds { get; }

    /// <summary>The names of the layers, or the pattern of older files, in which each layer is a letter.</summary>
    private static IReadOnlyList<string> ReadKinds(ConfigReader json)
    {
        if (json.Texts("layers_block_type") is { Count: > 0 } names) return names;
        string pattern = json.Text("hybrid_override_pattern", "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-");
        return [.. pattern.Select(letter => _kinds.GetValueOrDefault(letter) ?? throw json.InvalidValue(
            "hybrid_override_pattern", "must consist of M, *, - and E", $"`{pattern}`"))];
    }

    private static ConfigReader WithLayers(ConfigReader json) => json.With("num_hidden_layers", ReadKinds(json).Count);

    internal Mamba2Config Mixer
    {
        get
        {
            int heads = Json.Size("mamba_num_heads", 128), headDim = Json.Size("mamba_head_dim", 64), groups = Json.Size("n_groups", 8);
            return new Mamba2Config(
                HiddenSize, heads, headDim, Json.Size("ssm_state_size", 128), groups, Json.Size("conv_kernel", 4), NormEps)
            {
                ConvBias = Json.Flag("use_conv_bias", true), ProjectionBias = Json.Flag("mamba_proj_bias", Json.Flag("use_bias", false)),
                NormClass = "Zamba2RMSNormGated", NormGroups = groups,
                // its code limits the time step from below only
                TimeStepLimit = (Json.Real("time_step_min", 0.001), double.PositiveInfinity),
            };
        }
    }
}

/// <summary>Nemotron-H: each layer is a Mamba-2 mixer, an attention without positions, an mlp, or experts.</summary>
/// <remarks>transformers/models/nemotron_h/modeling_nemotron_h.py; NVIDIA, Nemotron-H, 2025</remarks>
[Architecture("NemotronHForCausalLM", ModelType = "nemotron_h")]
public sealed class NemotronHForCausalLM : DecoderForCausalLM
{
    public NemotronHForCausalLM(ConfigReader json) : this(new NemotronHConfig(json)) { }

    private NemotronHForCausalLM(NemotronHConfig config) : this(config, Describe(config)) { }

    private NemotronHForCausalLM(NemotronHConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => config.Kinds[layer] != "attention")) { }

    public override bool HasStatesBesideKeys => true;

    /// <summary>Checkpoints have the prefix of the time before transformers 5, and two names for the embeddings.</summary>
    public override string ToTreeName(string tensorName) => tensorName
        .Replace("backbone.embedding.", "model.embeddings.", StringComparison.Ordinal)
        .Replace("backbone.", "model.", StringComparison.Ordinal);

    /// <summary>The weights for the prediction of several tokens.</summary>
    public override IReadOnlyList<string> IgnoredPrefixes => ["mtp."];

    private static DecoderDescription Describe(NemotronHConfig config) => new(config, "NemotronH")
    {
        EmbeddingName = "embeddings", FinalNormName = "norm_f", HasRotaryEmbedding = false, HasRotaryPositions = static _ => false,
        MlpName = "mixer", Norm = NormKind.RmsRoundedOnce,
        QkvBias = config.Json.Flag("attention_bias", false), OutputBias = config.Json.Flag("attention_bias", false),
        CreateLayer = (description, layer) => new NemotronHBlock(config, description, layer),
    };
}

/// <summary>A norm and one mixer, added to the residual stream.</summary>
public sealed partial class NemotronHBlock : DecoderBlock
{
    private readonly TensorModule _norm;
    private readonly SiteModule _mixer;

    internal NemotronHBlock(NemotronHConfig config, DecoderDescription description, int layer) : base(description, "NemotronHBlock")
    {
        _norm = Child("norm", description.CreateNorm(config.HiddenSize));
        _mixer = Child("mixer", config.Kinds[layer] switch
        {
            "mamba" => (SiteModule)new Mamba2Mixer("NemotronHMamba2Mixer", layer, new MixerCall(IsKeyword: false), config.Mixer,
                Activation.Read(config.Json, "mamba_hidden_act", "silu")),
            "attention" => description.CreateAttention(description, layer),
            "mlp" => CreateMlp(config, config.IntermediateSize),
            "moe" => new NemotronHMoE(config),
            string unknown => throw config.Json.InvalidValue(
                "layers_block_type", "must have mamba, attention, mlp and moe", $"`{unknown}`"),
        });
    }

    protected override bool KeepsState => _mixer is not DecoderAttention;

    public override Axes InputAxes(string argument) =>
        argument == "attention_mask" && KeepsState ? new Axes(0, 1) : base.InputAxes(argument);

    internal static Mlp CreateMlp(NemotronHConfig config, int intermediateSize)
    {
        bool bias = config.Json.Flag("mlp_bias", false);
        return new Mlp("NemotronHMLP",
            ("up_proj", new Linear(config.HiddenSize, intermediateSize, bias)),
            ("down_proj", new Linear(intermediateSize, config.HiddenSize, bias)),
            ("act_fn", Activation.Read(config.Json, "mlp_hidden_act", "relu2")));
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor? mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _norm.Call(hidden);                                                                 // [batch, seq, hidden]
        Tensor mixed = _mixer is StateSpaceMixer mamba ? mamba.Call(normal, cache, mask)
            : _mixer is DecoderAttention attention
                ? (Tensor)attention.Call(normal, mask!, positionIds, cache, positionEmbeddings)[0]!
            : ((TensorModule)_mixer).Call(normal);                                                          // [batch, seq, hidden]
        return [(hidden + mixed).MoveToOuterDisposeScope()];                                                // [batch, seq, hidden]
    }
}

/// <summary>Experts without a gate, in some models in a smaller space, beside an mlp for all tokens.</summary>
public sealed partial class NemotronHMoE : TensorModule
{
    private readonly NemotronHExperts _experts;
    private readonly LinearRouter _gate;
    private readonly Mlp _sharedExperts;
    private readonly TensorModule _fc1LatentProj, _fc2LatentProj;
    private readonly ExpertRouting _routing;

    internal NemotronHMoE(NemotronHConfig config)
    {
        ConfigReader json = config.Json;
        int numExperts = json.Size("n_routed_experts", 8), size = json.Size("moe_intermediate_size", 7688);
        int? latentSize = json.Has("moe_latent_size") ? json.Size("moe_latent_size") : null;
        _routing = new ExpertRouting(json.Size("num_experts_per_tok", 2))
        {
            IsSigmoid = true, NormTopKProb = json.Flag("norm_topk_prob", true), ScalingFactor = json.Real("routed_scaling_factor", 1),
            NumGroups = json.Size("n_group", 1), TopKGroups = json.Size("topk_group", 1),
        };
        _experts = Child("experts", new NemotronHExperts(numExperts, latentSize ?? config.HiddenSize, size,
            Activation.Read(json, "mlp_hidden_act", "relu2")));
        _gate = Child("gate", new LinearRouter("NemotronHTopkRouter", numExperts, config.HiddenSize, hasCorrectionBias: true));
        _sharedExperts = Child("shared_experts", NemotronHBlock.CreateMlp(config, json.Size("moe_shared_expert_intermediate_size", 7688)));
        bool bias = json.Flag("mlp_bias", false);
        _fc1LatentProj = Child("fc1_latent_proj",
            latentSize is { } into ? new Linear(config.HiddenSize, into, bias) : (TensorModule)new Identity());
        _fc2LatentProj = Child("fc2_latent_proj",
            latentSize is { } from ? new Linear(from, config.HiddenSize, bias) : (TensorModule)new Identity());
        _fc1LatentProj.SetAxes(Axes.Flat);
        _fc2LatentProj.SetAxes(Axes.Flat);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor logits = _gate.Call(input);                                                          // [batch · seq, experts]
        var (indices, weights) = _routing.Route(logits, _gate.CorrectionBias?.Value);               // 2 x [batch · seq, chosen]
        Tensor hidden = _fc1LatentProj.Call(input.reshape(-1, input.size(2)));                      // [batch · seq, latent]
        Tensor output = _fc2LatentProj.Call(_experts.Call(hidden, indices, weights)).view(input.shape); // [batch, seq, hidden]
        return (output + _sharedExperts.Call(input)).MoveToOuterDisposeScope();                     // [batch, seq, hidden]
    }
}

/// <summary>down(activation(up(x))) of the experts of each token.</summary>
public sealed partial class NemotronHExperts : RoutedExperts
{
    private readonly Parameter _upProj;   // [experts, intermediate, hidden]
    private readonly Parameter _downProj; // [experts, hidden, intermediate]
    private readonly Activation _actFn;

    internal NemotronHExperts(int numExperts, int hiddenSize, int intermediateSize, Activation activation)
    {
        _upProj = Weight("up_proj", [numExperts, intermediateSize, hiddenSize], [.. Enumerable.Range(0, numExperts).Select(e =>
            ($"{e}.up_proj.weight", (long[])[intermediateSize, hiddenSize]))], inFeaturesDim: 2);
        _downProj = Weight("down_proj", [numExperts, hiddenSize, intermediateSize], [.. Enumerable.Range(0, numExperts).Select(e =>
            ($"{e}.down_proj.weight", (long[])[hiddenSize, intermediateSize]))], inFeaturesDim: 2);
        _actFn = Child("act_fn", activation);
        _actFn.SetAxes(Axes.Unknown); // pairs of tokens and experts
        AddExperts(numExperts, i => new NemotronHExpert(i, _upProj, _downProj, activation));
    }

    protected override Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        using var scope = NewDisposeScope();
        RoutedTokens routed = new(topKIndex, _downProj.Shape[0]);
        (Tensor upProj, Tensor downProj) = (_upProj.Value, _downProj.Value);
        Tensor intermediate = _actFn.Call(routed.Multiply(routed.Select(hidden),
            (expert, own) => LinearKernels.linear(own, upProj[expert], null)));                     // [pairs, intermediate]
        Tensor outputs = routed.Multiply(intermediate,
            (expert, own) => LinearKernels.linear(own, downProj[expert], null));                    // [pairs, hidden]
        return routed.Combine(outputs, topKWeights).to(hidden.dtype).MoveToOuterDisposeScope();     // [batch · seq, hidden]
    }
}

/// <summary>The same with the weights of one expert.</summary>
/// <param name="upProj">[experts, intermediate, hidden]</param>
/// <param name="downProj">[experts, hidden, intermediate]</param>
public sealed partial class NemotronHExpert(int index, Parameter upProj, Parameter downProj, Activation activation) :
    Expert("NemotronHExpert", index, upProj, downProj)
{
    /// <param name="input">[routed, hidden]</param>
    /// <returns>[routed, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor upWeight = upProj.Value[ExpertIndex], downWeight = downProj.Value[ExpertIndex];
        Tensor intermediate = activation.Apply(LinearKernels.linear(input, upWeight, null));    // [routed, intermediate]
        return LinearKernels.linear(intermediate, downWeight, null).MoveToOuterDisposeScope();  // [routed, hidden]
    }
}
