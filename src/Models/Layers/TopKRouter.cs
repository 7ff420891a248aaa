using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The experts of each token and the weights of their outputs.</summary>
/// <remarks>MixtralTopKRouter in transformers/models/mixtral/modeling_mixtral.py; Hugging Face has one copy per model.</remarks>
public sealed partial class TopKRouter : ExpertRouter
{
    private readonly int _topK;
    private readonly bool _normTopKProb, _castsToModelType;
    private readonly Parameter _weight; // [experts, hidden]

    /// <param name="className">The class name in Hugging Face's code of the model: "MixtralTopKRouter".</param>
    /// <param name="topK">The number of experts for each token.</param>
    /// <param name="normTopKProb">Whether the weights of the chosen experts are normalized to a sum of 1.</param>
    /// <param name="castsToModelType">Whether the weights have the type of the model, as in Qwen, instead of float32.</param>
    public TopKRouter(string className, int numExperts, int hiddenSize, int topK, bool normTopKProb, bool castsToModelType)
    {
        (ClassName, _topK, _normTopKProb, _castsToModelType) = (className, topK, normTopKProb, castsToModelType);
        _weight = Weight("weight", numExperts, hiddenSize);
    }

    public override string ClassName { get; }

    protected override object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value);                                // [batch · seq, experts]
        Tensor probabilities = nn.functional.softmax(logits, -1, ScalarType.Float32);               // [batch · seq, experts]
        (Tensor weights, Tensor chosen) = probabilities.topk(_topK, -1);                          // 2 x [batch · seq, chosen]
        if (_normTopKProb) weights = weights / weights.sum([-1], keepdim: true);
        if (_castsToModelType) weights = weights.to(logits.dtype);
        return [logits.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope()];
    }
}
