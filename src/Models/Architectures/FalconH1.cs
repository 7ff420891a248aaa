using Ndif.Models.Config;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Falcon-H1.</summary>
/// <remarks>transformers/models/falcon_h1/configuration_falcon_h1.py</remarks>
public sealed record FalconH1Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 128000, MaxPositions = 8192, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 32, NumHeads = 32, NumKvHeads = 8,
    NormEps = 1e-5, PadTokenId = 0,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    public double AttentionInMultiplier => Json.Real("attention_in_multiplier", 1);

    public double AttentionOutMultiplier => Json.Real("attention_out_multiplier", 1);

    public double KeyMultiplier => Json.Real("key_multiplier", 1);

    public double SsmOutMultiplier => Json.Real("ssm_out_multiplier", 1);

    /// <summary>The factors of the gate and of the output of the mlp.</summary>
    public (double Gate, double Output) MlpMultipliers =>
        Json.Reals("mlp_multipliers") is [double gate, double output, ..] ? (gate, output) : (1, 1);

    internal Mamba2Config Mixer
    {
        get
        {
            Mamba2Config mixer = Mamba2Layers.Read(Json, HiddenSize, NormEps);
            int size = Json.Has("mamba_d_ssm") ? Json.Size("mamba_d_ssm") : Json.Size("mamba_expand", 2) * HiddenSize;
            return mixer with
            {
                HeadDim = size / mixer.NumHeads, NormsBeforeGate = Json.Flag("mamba_norm_before_gate", true), NormGroups = mixer.NumGroups,
                NormClass = Json.Flag("mamba_rms_norm", false) ? "FalconH1RMSNormGated" : null,
                InputMultiplier = Json.Real("ssm_in_multiplier", 1),
                Multipliers = Json.Reals("ssm_multipliers") is { Count: 5 } factors ? factors : [1, 1, 1, 1, 1],
            };
        }
    }
}

/// <summary>Falcon-H1: attention and a Mamba-2 mixer in parallel in each layer, with factors throughout.</summary>
/// <remarks>transformers/models/falcon_h1/modeling_falcon_h1.py; Zuo et al., Falcon-H1, 2025</remarks>
[Architecture("FalconH1ForCausalLM", ModelType = "falcon_h1")]
public sealed class FalconH1ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new FalconH1Config(json)))
{
    public override bool HasStatesBesideKeys => true;

    private static DecoderDescription Describe(FalconH1Config config) => new(config, "FalconH1")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, FinalNormName = "final_layernorm", MlpName = "feed_forward",
        EmbeddingMultiplier = config.Json.Real("embedding_multiplier", 1), LogitMultiplier = config.Json.Real("lm_head_multiplier", 1),
        CreateAttention = (description, layer) => new FalconH1Attention(config, description, layer),
        CreateMlp = (description, _) => new FalconH1MLP(config, description),
        CreateLayer = (description, layer) => new FalconH1DecoderLayer(config, description, layer),
    };
}

public sealed partial class FalconH1DecoderLayer : DecoderBlock
{
    private readonly double _attentionInMultiplier, _attentionOutMultiplier, _ssmOutMultiplier;
    private readonly TensorModule _feedForward, _inputLayernorm, _preFfLayernorm;
    private readonly Mamba2Mixer _mamba;
    private readonly DecoderAttention _selfAttn;

    internal FalconH1DecoderLayer(FalconH1Config config, DecoderDescription description, int layer) : base(description)
    {
        (_attentionInMultiplier, _attentionOutMultiplier) = (config.AttentionInMultiplier, config.AttentionOutMultiplier);
        _ssmOutMultiplier = config.SsmOutMultiplier;
        _feedForward = Child("feed_forward", description.CreateMlp(description, layer));
        _mamba = Child("mamba", new Mamba2Mixer(
            "FalconH1Mixer", layer, new MixerCall(IsKeyword: true), config.Mixer, description.CreateActivation()));
        _selfAttn = Child("self_attn", description.CreateAttention(description, layer));
        _inputLayernorm = Child("input_layernorm", description.CreateNorm(config.HiddenSize));
        _preFfLayernorm = Child("pre_ff_layernorm", description.CreateNorm(config.HiddenSize));
    }

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                       // [batch, seq, hidden]
        Tensor? padding = PaddingOf(mask, hidden.size(1));                                                  // [batch, seq]
        Tensor mixed = _mamba.Call(normal, cache, padding) * _ssmOutMultiplier;                             // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal * _attentionInMultiplier, mask, positionIds, cache, positionEmbeddings)[0]!;
        Tensor middle = hidden + (mixed + attended * _attentionOutMultiplier);                              // [batch, seq, hidden]
        Tensor output = middle + _feedForward.Call(_preFfLayernorm.Call(middle));                           // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }

    /// <summary>The padding of the pass, which the mask of the attention has in the row of the last token.</summary>
    /// <param name="mask">[batch, 1, seq, kvSeq]</param>
    private static Tensor? PaddingOf(Tensor mask, long seqLen)
    {
        Tensor isToken = mask.select(1, 0).select(1, seqLen - 1) == 0;                                      // [batch, kvSeq]
        return PaddingMask.Of(isToken.to(ScalarType.Int64), seqLen);
    }
}

/// <summary>Attention whose keys are multiplied by a factor.</summary>
public sealed partial class FalconH1Attention : DecoderAttention
{
    private readonly double _keyMultiplier;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;

    internal FalconH1Attention(FalconH1Config config, DecoderDescription description, int layer) : base(description, layer)
    {
        _keyMultiplier = config.KeyMultiplier;
        _qProj = Child("q_proj", new Linear(config.HiddenSize, NumHeads * HeadDim, description.QkvBias));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, config.HiddenSize, description.OutputBias));
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), NumHeads, HeadDim);           // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden) * _keyMultiplier, NumKvHeads, HeadDim); // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), NumKvHeads, HeadDim);         // [batch, kvHeads, seq, headDim]
        query = RotaryEmbedding.Rotate(query, positionEmbeddings);                                  // [batch, heads, seq, headDim]
        key = RotaryEmbedding.Rotate(key, positionEmbeddings);                                      // [batch, kvHeads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

/// <summary>down(up(x) · activation(gate(x) · factor)) · factor</summary>
public sealed partial class FalconH1MLP : TensorModule
{
    private readonly (double Gate, double Output) _multipliers;
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly Activation _actFn;

    internal FalconH1MLP(FalconH1Config config, DecoderDescription description)
    {
        bool bias = config.Json.Flag("mlp_bias", false);
        _multipliers = config.MlpMultipliers;
        _gateProj = Child("gate_proj", new Linear(config.HiddenSize, config.IntermediateSize, bias));
        _upProj = Child("up_proj", new Linear(config.HiddenSize, config.IntermediateSize, bias));
        _downProj = Child("down_proj", new Linear(config.IntermediateSize, config.HiddenSize, bias));
        _actFn = Child("act_fn", description.CreateActivation());
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj", "gate_proj");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor up = _upProj.Call(input);                                                            // [batch, seq, intermediate]
        Tensor intermediate = up * _actFn.Call(_gateProj.Call(input) * _multipliers.Gate);          // [batch, seq, intermediate]
        return (_downProj.Call(intermediate) * _multipliers.Output).MoveToOuterDisposeScope();      // [batch, seq, hidden]
    }
}
