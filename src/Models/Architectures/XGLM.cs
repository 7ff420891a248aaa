using Ndif.Models.Config;
using Ndif.Models.Layers;
using Ndif.Protocol;

namespace Ndif.Models.Architectures;

/// <summary>XGLM: a decoder from fairseq with sinusoidal positions.</summary>
/// <remarks>transformers/models/xglm/modeling_xglm.py and configuration_xglm.py; Lin et al., XGLM, 2021</remarks>
[Architecture("XGLMForCausalLM", ModelType = "xglm")]
public sealed class XGLMForCausalLM : DecoderForCausalLM
{
    public XGLMForCausalLM(ConfigReader json) : this(Describe(json)) { }

    private XGLMForCausalLM(FairseqDescription description) : base(
        new PreTrainedConfig(description.VocabSize, description.MaxPositions, description.NumLayers),
        new StandardNames
        {
            Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.layer_norm", LmHead = "lm_head",
            Attention = "self_attn", Mlp = "fc2",
        },
        new FairseqDecoder(description), description.HiddenSize, description.Json.Flag("tie_word_embeddings", true)) { }

    /// <summary>The sines and cosines that older checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => ["embed_positions.weights"];

    private static FairseqDescription Describe(ConfigReader json)
    {
        json.RequireFalse("add_cross_attention", "only decoders are supported");
        int hiddenSize = json.Size("d_model", 1024), numHeads = json.Size("attention_heads", 16);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("d_model", $"must be a multiple of attention_heads, {numHeads}", $"{hiddenSize}");
        return new FairseqDescription(json, "XGLM")
        {
            VocabSize = json.Size("vocab_size", 256008), MaxPositions = json.Size("max_position_embeddings", 2048), HiddenSize = hiddenSize,
            IntermediateSize = json.Size("ffn_dim", 4096), NumLayers = json.Size("num_layers", 24), NumHeads = numHeads,
            PadTokenId = json.IsNull("pad_token_id") ? null : (int)json.Integer("pad_token_id", 1), ActivationKey = "activation_function",
            IsSinusoidal = true, ScalesQueries = true,
        };
    }
}
