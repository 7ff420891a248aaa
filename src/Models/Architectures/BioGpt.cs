using Ndif.Models.Config;
using Ndif.Models.Layers;
using Ndif.Protocol;

namespace Ndif.Models.Architectures;

/// <summary>BioGPT: a decoder from fairseq with learned positions.</summary>
/// <remarks>transformers/models/biogpt/modeling_biogpt.py and configuration_biogpt.py; Luo et al., BioGPT, 2022</remarks>
[Architecture("BioGptForCausalLM", ModelType = "biogpt")]
public sealed class BioGptForCausalLM : DecoderForCausalLM
{
    public BioGptForCausalLM(ConfigReader json) : this(Describe(json)) { }

    private BioGptForCausalLM(FairseqDescription description) : base(
        new PreTrainedConfig(description.VocabSize, description.MaxPositions, description.NumLayers),
        new StandardNames
        {
            Embed = "biogpt.embed_tokens", Layers = "biogpt.layers", FinalNorm = "biogpt.layer_norm", LmHead = "output_projection",
            Attention = "self_attn", Mlp = "fc2",
        },
        new FairseqDecoder(description), description.HiddenSize, description.Json.Flag("tie_word_embeddings", true)) { }

    public override bool HasPositionTable => true;

    private static FairseqDescription Describe(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 1024), numHeads = json.Size("num_attention_heads", 16);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {numHeads}", $"{hiddenSize}");
        return new FairseqDescription(json, "BioGpt")
        {
            VocabSize = json.Size("vocab_size", 42384), MaxPositions = json.Size("max_position_embeddings", 1024), HiddenSize = hiddenSize,
            IntermediateSize = json.Size("intermediate_size", 4096), NumLayers = json.Size("num_hidden_layers", 24), NumHeads = numHeads,
            PadTokenId = json.IsNull("pad_token_id") ? null : (int)json.Integer("pad_token_id", 1), ActivationKey = "hidden_act",
            PassesPositionIds = true,
        };
    }

    internal override string TokenClassifierName => "classifier";
}
