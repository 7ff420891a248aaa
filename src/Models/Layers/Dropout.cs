using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Nothing: models run in evaluation. It is in the tree because code that was written for the tree names it.</summary>
/// <remarks>torch/nn/modules/dropout.py</remarks>
public sealed partial class Dropout : TensorModule
{
    private readonly double _p;

    /// <param name="axes">Of what it is given, where that is not [batch, seq, ...].</param>
    public Dropout(double p, Axes? axes = null) => (_p, Axes) = (p, axes ?? Axes.Hidden);

    public override string ExtraRepr => $"p={PythonNumberFormat.Format(_p)}, inplace=False";

    /// <returns>The input itself, as PyTorch's.</returns>
    protected override Tensor Forward(Tensor input) => input;
}
