using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a MiniMax-M2.</summary>
/// <remarks>transformers/models/minimax_m2/configuration_minimax_m2.py</remarks>
public sealed record MiniMaxM2Config(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 200064, MaxPositions = 196608, HiddenSize = 3072, IntermediateSize = 1536, NumLayers = 62, NumHeads = 48, NumKvHeads = 8,
    HeadDim = 128, RopeTheta = 5_000_000,
})
{
    public int NumLocalExperts => Json.Size("num_local_experts", 256);

    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 8);
}

/// <summary>MiniMax-M2: norms over all queries and all keys, and sigmoid routing with a bias for the choice.</summary>
/// <remarks>transformers/models/minimax_m2/modeling_minimax_m2.py; MiniMax, 2025</remarks>
[Architecture("MiniMaxM2ForCausalLM", ModelType = "minimax_m2")]
public sealed class MiniMaxM2ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new MiniMaxM2Config(json)))
{
    /// <summary>Checkpoints have the name that the block had before transformers 5.</summary>
    public override string ToTreeName(string tensorName) => tensorName.Replace(".block_sparse_moe.", ".mlp.", StringComparison.Ordinal);

    private static DecoderDescription Describe(MiniMaxM2Config config) => new(config, "MiniMaxM2")
    {
        QkNorms = QkNorms.AllHeads, IsPartialRotary = true, PassesRouterLogits = true,
        CreateMlp = (description, _) => new MiniMaxM2SparseMoeBlock(config, description),
    };
}

public sealed partial class MiniMaxM2SparseMoeBlock : TensorModule
{
    private readonly MiniMaxM2TopKRouter _gate;
    private readonly Experts _experts;
    private readonly Parameter _eScoreCorrectionBias; // [experts]

    internal MiniMaxM2SparseMoeBlock(MiniMaxM2Config config, DecoderDescription description)
    {
        _gate = Child("gate", new MiniMaxM2TopKRouter(config));
        _experts = Child("experts", new Experts("MiniMaxM2Experts", config.NumLocalExperts, config.HiddenSize, config.IntermediateSize,
            description.CreateActivation(), ("w1", "w3", "w2")));
        _eScoreCorrectionBias = Buffer("e_score_correction_bias", config.NumLocalExperts);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        object?[] routing = _gate.Call(hidden, _eScoreCorrectionBias.Value);                        // logits, weights, chosen experts
        Tensor output = _experts.Call(hidden, (Tensor)routing[2]!, (Tensor)routing[1]!);            // [batch · seq, hidden]
        return output.view(input.shape).MoveToOuterDisposeScope();                                  // [batch, seq, hidden]
    }
}

/// <summary>Sigmoid scores; a bias takes part in the choice and not in the weights, which add up to 1.</summary>
public sealed partial class MiniMaxM2TopKRouter : SiteModule
{
    private readonly int _topK;
    private readonly Parameter _weight; // [experts, hidden]

    internal MiniMaxM2TopKRouter(MiniMaxM2Config config)
    {
        _topK = config.NumExpertsPerToken;
        _weight = Weight("weight", config.NumLocalExperts, config.HiddenSize);
    }

    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => argument is "1" or "e_score_correction_bias" ? Axes.Shared : Axes.Flat;

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <param name="correctionBias">[experts]</param>
    /// <returns>A tuple: logits [batch · seq, experts], weights and indices of the chosen, both [batch · seq, chosen].</returns>
    public object?[] Call(Tensor hidden, Tensor correctionBias) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments(hidden, correctionBias)) : Forward(hidden, correctionBias);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "e_score_correction_bias"));

    private object?[] Forward(Tensor hidden, Tensor correctionBias)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value);                                // [batch · seq, experts]
        Tensor scores = logits.to(ScalarType.Float32).sigmoid();                                    // [batch · seq, experts]
        (_, Tensor chosen) = (scores + correctionBias).topk(_topK, -1, sorted: false);              // [batch · seq, chosen]
        Tensor weights = scores.gather(1, chosen);                                                  // [batch · seq, chosen]
        weights = weights / weights.sum([-1], keepdim: true);                                       // [batch · seq, chosen]
        return [logits.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope()];
    }
}
