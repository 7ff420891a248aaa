using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Ministral 3.</summary>
/// <remarks>transformers/models/ministral3/configuration_ministral3.py</remarks>
public sealed record Ministral3Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 131072, MaxPositions = 262144, HiddenSize = 4096, IntermediateSize = 14336, NumLayers = 34, NumHeads = 32, NumKvHeads = 8,
    HeadDim = 128, NormEps = 1e-5, RopeTheta = 1_000_000, TieWordEmbeddings = false, PadTokenId = 11,
})
{
    internal DecoderDescription Describe() => new(this, "Ministral3")
    {
        Window = Json.Has("sliding_window") ? Json.Size("sliding_window") : null, QueryScaling = QueryScaling.Read(RopeParameters),
    };
}

/// <summary>Ministral 3: a Mistral whose queries grow with their position.</summary>
/// <remarks>transformers/models/ministral3/modeling_ministral3.py; Mistral AI, 2025</remarks>
[Architecture("Ministral3ForCausalLM", ModelType = "ministral3")]
public sealed class Ministral3ForCausalLM(ConfigReader json) : DecoderForCausalLM(new Ministral3Config(json).Describe());

/// <summary>The text part of a multimodal Mistral Small 3 or Ministral 3.</summary>
/// <remarks>Mistral3ForConditionalGeneration in transformers/models/mistral3/modeling_mistral3.py</remarks>
[Architecture("Mistral3ForConditionalGeneration", ModelType = "mistral3")]
public sealed class Mistral3ForConditionalGeneration : MultimodalForConditionalGeneration
{
    public Mistral3ForConditionalGeneration(ConfigReader json) : this(Describe(TextConfig(json)) with { TakesEmbeddings = true }) { }

    private Mistral3ForConditionalGeneration(DecoderDescription description) :
        base(description, new DecoderModel(description), "Mistral3Model") { }

    /// <summary>The language model is a Ministral 3 or a Mistral.</summary>
    private static DecoderDescription Describe(ConfigReader text) => text.Text("model_type", "mistral") == "ministral3"
        ? new Ministral3Config(text).Describe() : MistralForCausalLM.Describe(new MistralConfig(text));
}
