using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>
/// The experts with the highest probabilities, which are normalized to a sum of 1 and then multiplied by a factor of each expert.
/// </summary>
/// <remarks>Gemma4TextRouter in transformers/models/gemma4/modeling_gemma4.py</remarks>
public sealed partial class Gemma4TextRouter : ExpertRouter
{
    private readonly int _topK;
    private readonly double _rootScale;
    private readonly RMSNorm _norm;
    private readonly Linear _proj;
    private readonly Parameter _scale, _perExpertScale; // [hidden], [experts]

    internal Gemma4TextRouter(Gemma4TextConfig config)
    {
        (_topK, _rootScale) = (config.Json.Size("top_k_experts"), 1 / Math.Sqrt(config.HiddenSize));
        int numExperts = config.Json.Size("num_experts");
        if (_topK > numExperts)
            throw config.Json.InvalidValue("top_k_experts", $"must be at most num_experts, {numExperts}", $"{_topK}");
        _norm = Child("norm", config.CreateNorm(config.HiddenSize, Axes.Flat, hasWeight: false));
        _proj = Child("proj", new Linear(config.HiddenSize, numExperts, bias: false));
        _proj.SetAxes(Axes.Flat);
        _scale = Weight("scale", config.HiddenSize);
        _perExpertScale = Weight("per_expert_scale", numExperts);
    }

    internal static Experts CreateExperts(Gemma4TextConfig config) => new("Gemma4TextExperts", config.Json.Size("num_experts"),
        config.HiddenSize, config.Json.Size("moe_intermediate_size"), config.CreateActivation(), ("gate_proj", "up_proj", "down_proj"));

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <returns>A tuple: probabilities [batch · seq, experts], and weights and indices of the chosen, both [batch · seq, chosen].</returns>
    protected override object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor scaled = _norm.Call(hidden) * _scale.Value * _rootScale;                             // [batch · seq, hidden]
        Tensor probabilities = nn.functional.softmax(_proj.Call(scaled), -1);                       // [batch · seq, experts]
        (Tensor weights, Tensor chosen) = probabilities.topk(_topK, -1);                            // 2 x [batch · seq, chosen]
        Tensor factors = _perExpertScale.Value.index(TensorIndex.Tensor(chosen));                   // [batch · seq, chosen]
        weights = weights / weights.sum([-1], keepdim: true) * factors;                             // [batch · seq, chosen]
        return [probabilities.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope()];
    }
}
