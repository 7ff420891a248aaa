using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Nothing: models run in evaluation. It is in the tree because code that was written for the tree names it.</summary>
/// <remarks>torch/nn/modules/dropout.py</remarks>
public sealed class Dropout(double p) : TensorModule
{
    public override string ExtraRepr => $"p={PythonText.Of(p)}, inplace=False";

    /// <returns>The input itself, as PyTorch's.</returns>
    protected override Tensor Forward(Tensor input) => input;
}
