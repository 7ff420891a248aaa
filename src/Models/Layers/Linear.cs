using System.Globalization;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>y = x Wᵀ + b, with W [outputs, inputs].</summary>
/// <remarks>torch/nn/modules/linear.py</remarks>
public sealed partial class Linear : TensorModule, ILinear
{
    private readonly int _inputs, _outputs;
    private readonly Parameter _weight; // [outputs, inputs]
    private readonly Parameter? _bias;  // [outputs]
    private readonly CachedView _view;

    /// <param name="tied">The weight of another module, used here too: an embedding [outputs, inputs].</param>
    /// <param name="className">As Hugging Face's model calls it, where it has a class of its own: "FalconLinear".</param>
    public Linear(int inputs, int outputs, bool bias = true, Parameter? tied = null, string className = "Linear")
    {
        (ClassName, _inputs, _outputs) = (className, inputs, outputs);
        _weight = tied is null ? Matrix("weight", [outputs, inputs], inputs: 1) : Tie(tied);
        _bias = bias ? Weight("bias", outputs) : null;
        _view = new CachedView(_weight, _bias, columns: false);
    }

    WeightView? ILinear.View => Observer is null ? _view.Get() : null;

    public override string ClassName { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"in_features={_inputs}, out_features={_outputs}, bias={(_bias is null ? "False" : "True")}");

    /// <param name="input">[..., inputs]</param>
    /// <returns>[..., outputs]</returns>
    protected override Tensor Forward(Tensor input) => Products.linear(input, _weight.Value, _bias?.Value);
}
