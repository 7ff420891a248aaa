using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Phi.</summary>
/// <remarks>transformers/models/phi/configuration_phi.py</remarks>
public sealed record PhiConfig : DecoderConfig
{
    public PhiConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 51200, MaxPositions = 2048, HiddenSize = 2048, IntermediateSize = 8192, NumLayers = 24, NumHeads = 32,
        NormEpsKey = "layer_norm_eps", NormEps = 1e-5, PartialRotaryFactor = 0.5,
    }) => PadTokenId = null; // its embedding is made without

    /// <summary>Each head of queries and keys is normalized.</summary>
    public bool QkLayerNorm => Json.Flag("qk_layernorm", false);

    public double EmbeddingDropout => Json.Real("embd_pdrop", 0.0);

    public double ResidualDropout => Json.Real("resid_pdrop", 0.0);
}

/// <summary>Phi 1 to 2: attention and mlp in parallel after one norm, rotary positions on a part of each head, biases.</summary>
/// <remarks>transformers/models/phi/modeling_phi.py; Gunasekar et al., Textbooks Are All You Need, 2023</remarks>
[Architecture("PhiForCausalLM", ModelType = "phi")]
public sealed class PhiForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new PhiConfig(json)))
{
    private static DecoderDescription Describe(PhiConfig config) => new(config, "Phi")
    {
        EmbeddingDropout = config.EmbeddingDropout, Norm = NormKind.Layer, LayerNorms = LayerNorms.Shared,
        FinalNormName = "final_layernorm", QkNorms = config.QkLayerNorm ? QkNorms.EachHeadAfterSplit : QkNorms.None,
        QkNormNames = ("q_layernorm", "k_layernorm"),
        QkvBias = true, OutputBias = true, HeadBias = true, OutputProjectionName = "dense", IsPartialRotary = true,
        ResidualDropouts = ("resid_dropout", "resid_dropout", config.ResidualDropout), Activation = ("hidden_act", "gelu_new"),
        CreateLayer = static (description, layer) => new PhiDecoderLayer(description, layer),
        CreateMlp = static (description, _) => new Mlp("PhiMLP",
            ("activation_fn", description.CreateActivation()),
            ("fc1", new Linear(description.Config.HiddenSize, description.Config.IntermediateSize)),
            ("fc2", new Linear(description.Config.IntermediateSize, description.Config.HiddenSize))),
    };
}

/// <summary>The outputs of attention and mlp, which read the same norm, are added first, and then added to the residual stream.</summary>
public sealed partial class PhiDecoderLayer : DecoderLayer
{
    internal PhiDecoderLayer(DecoderDescription description, int layer) : base(description, layer) { }

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputNorm!.Call(hidden);                                                           // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        attended = _attentionDropout!.Call(attended);                                                       // [batch, seq, hidden]
        Tensor changed = _mlpDropout!.Call(_mlp.Call(normal));                                              // [batch, seq, hidden]
        Tensor output = attended + changed + hidden;                                                        // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
