using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The mean cross entropy of logits. It is in the tree of models whose constructor makes one; no forward calls it.</summary>
/// <remarks>torch/nn/modules/loss.py</remarks>
public sealed class CrossEntropyLoss : SiteModule
{
    public override bool ReturnsTensor => true;

    public override Axes OutputAxes(int element) => Axes.Shared;

    /// <remarks>The logits are [count, classes], the targets [count] int64.</remarks>
    public override object? Run(Arguments arguments) =>
        nn.functional.cross_entropy(arguments.Tensor(0, "input"), arguments.Tensor(1, "target"));
}
