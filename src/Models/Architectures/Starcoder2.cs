using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a StarCoder 2.</summary>
/// <remarks>transformers/models/starcoder2/configuration_starcoder2.py</remarks>
public sealed record Starcoder2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 49152, MaxPositions = 4096, HiddenSize = 3072, IntermediateSize = 12288, NumLayers = 30, NumHeads = 24, NumKvHeads = 2,
    NormEpsKey = "norm_epsilon", NormEps = 1e-5, TieWordEmbeddings = true,
})
{
    public bool UseBias => Json.Flag("use_bias", true);

    /// <summary>A token attends to itself and the SlidingWindow - 1 tokens before it; null for all tokens.</summary>
    public int? SlidingWindow => Json.Has("sliding_window") ? Json.Size("sliding_window") : null;
}

/// <summary>StarCoder 2: a Llama with layer norms, biases and a plain mlp.</summary>
/// <remarks>transformers/models/starcoder2/modeling_starcoder2.py; Lozhkov et al., 2024</remarks>
[Architecture("Starcoder2ForCausalLM", ModelType = "starcoder2")]
public sealed class Starcoder2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new Starcoder2Config(json)))
{
    private static DecoderDescription Describe(Starcoder2Config config) => new(config, "Starcoder2")
    {
        Norm = NormKind.Layer, Window = config.SlidingWindow, QkvBias = config.UseBias, OutputBias = config.UseBias,
        MlpBias = config.UseBias, Activation = ("hidden_act", "gelu_pytorch_tanh"),
        CreateMlp = static (description, _) => new Mlp("Starcoder2MLP",
            ("c_fc", new Linear(description.Config.HiddenSize, description.Config.IntermediateSize, description.MlpBias)),
            ("c_proj", new Linear(description.Config.IntermediateSize, description.Config.HiddenSize, description.MlpBias)),
            ("act", description.CreateActivation())),
    };
}
