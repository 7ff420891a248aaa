using System.Globalization;
using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>
/// A linear layer without a bias whose weight is divided by a power of two, which Hugging Face's code does in place before the first pass.
/// </summary>
/// <remarks>_rescale_layers in transformers/models/rwkv/modeling_rwkv.py</remarks>
public sealed partial class RescaledLinear : TensorModule
{
    private readonly int _inFeatures, _outFeatures;
    private readonly double _divisor;
    private readonly Parameter _weight; // [outFeatures, inFeatures]

    public RescaledLinear(int inFeatures, int outFeatures, double divisor)
    {
        (_inFeatures, _outFeatures, _divisor) = (inFeatures, outFeatures, divisor);
        _weight = LinearWeight("weight", [outFeatures, inFeatures], inFeaturesDim: 1);
    }

    public override string ClassName => "Linear";

    public override string ExtraRepr =>
        string.Create(CultureInfo.InvariantCulture, $"in_features={_inFeatures}, out_features={_outFeatures}, bias=False");

    /// <param name="input">[..., inFeatures]</param>
    /// <returns>[..., outFeatures]</returns>
    protected override Tensor Forward(Tensor input)
    {
        Tensor output = LinearKernels.linear(input, _weight.Value, null);   // [..., outFeatures]
        return _divisor == 1 ? output : output / _divisor;                  // exact, as the division of the weight is
    }
}
