using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Which experts each token goes to, and what each one's output counts.</summary>
/// <remarks>MixtralTopKRouter in transformers/models/mixtral/modeling_mixtral.py; each model has its own copy with its own name.</remarks>
public sealed partial class TopKRouter : SiteModule
{
    private readonly int _chosen;
    private readonly bool _normalize, _rounds;
    private readonly Parameter _weight; // [experts, width]

    /// <param name="className">As Hugging Face's model calls its copy: "MixtralTopKRouter".</param>
    /// <param name="chosen">Experts for each token.</param>
    /// <param name="normalize">The weights of the chosen experts add up to 1.</param>
    /// <param name="rounds">The weights are given in the model's own type, as Qwen's are, and not in float32.</param>
    public TopKRouter(string className, int experts, int width, int chosen, bool normalize, bool rounds)
    {
        (ClassName, _chosen, _normalize, _rounds) = (className, chosen, normalize, rounds);
        _weight = Weight("weight", experts, width);
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => Axes.Flat;

    /// <param name="hidden">[rows · tokens, width]</param>
    /// <returns>A tuple: all experts' logits [rows · tokens, experts], the chosen ones' weights and numbers [rows · tokens, chosen].</returns>
    public object?[] Call(Tensor hidden) =>
        Observer is { } observer ? Observed<object?[]>(observer, new Arguments(hidden)) : Forward(hidden);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    private object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value);                                // [rows · tokens, experts]
        Tensor probabilities = nn.functional.softmax(logits, -1, ScalarType.Float32);               // [rows · tokens, experts]
        (Tensor weights, Tensor chosen) = probabilities.topk(_chosen, -1);                          // 2 x [rows · tokens, chosen]
        if (_normalize) weights = weights / weights.sum([-1], keepdim: true);
        if (_rounds) weights = weights.to(logits.dtype);
        return [logits.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope()];
    }
}
