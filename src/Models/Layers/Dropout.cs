using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The identity, because models run in eval mode. It is in the tree because published code addresses it by name.</summary>
/// <remarks>torch/nn/modules/dropout.py</remarks>
public sealed partial class Dropout : TensorModule
{
    private readonly string _p;

    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    public Dropout(double p, Axes? axes = null) : this(PythonNumberFormat.Format(p)) => Axes = axes ?? Axes.Hidden;

    /// <param name="p">The probability as it is printed: that of a whole number in a config has no decimal point.</param>
    public Dropout(string p) => _p = p;

    public override string ExtraRepr => $"p={_p}, inplace=False";

    /// <returns>The input itself, as PyTorch's.</returns>
    protected override Tensor Forward(Tensor input) => input;
}
