using Ndif.Models.Config;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Hunyuan, dense or with experts.</summary>
/// <remarks>
/// transformers/models/hunyuan_v1_dense/configuration_hunyuan_v1_dense.py and
/// transformers/models/hunyuan_v1_moe/configuration_hunyuan_v1_moe.py
/// </remarks>
public record HunYuanV1Config : DecoderConfig
{
    public HunYuanV1Config(ConfigReader json) : base(json, new()
    {
        VocabSize = 290943, MaxPositions = 2048, HiddenSize = 4096, IntermediateSize = 11008, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
        PadTokenId = 0,
    })
    {
        // its dynamic scaling with alpha does not depend on the length: base · alpha^(d / (d - 2))
        if (RopeParameters is { RopeType: "dynamic", Values: { } values } && values.Has("alpha") && values.Real("alpha") != 0)
            RopeParameters = new RopeParameters("default",
                RopeParameters.Theta * Math.Pow(values.Real("alpha"), (double)HeadDim / (HeadDim - 2)), 1, null);
    }

    public bool AttentionBias => Json.Flag("attention_bias", false);

    internal DecoderDescription Describe(string family) => new(this, family)
    {
        QkvBias = AttentionBias, OutputBias = AttentionBias, QkNorms = QkNorms.EachHeadAfterRotation,
        QkNormNames = ("query_layernorm", "key_layernorm"),
    };
}

/// <summary>Hunyuan: a Llama that normalizes each head of queries and keys after they are rotated.</summary>
/// <remarks>transformers/models/hunyuan_v1_dense/modeling_hunyuan_v1_dense.py; Tencent, 2025</remarks>
[Architecture("HunYuanDenseV1ForCausalLM", ModelType = "hunyuan_v1_dense")]
public sealed class HunYuanDenseV1ForCausalLM(ConfigReader json) : DecoderForCausalLM(new HunYuanV1Config(json).Describe("HunYuanDenseV1"));
