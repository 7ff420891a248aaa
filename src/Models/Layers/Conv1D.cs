using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>GPT-2's linear layer, whose weight is stored the other way round: y = x W + b, with W [inputs, outputs].</summary>
/// <remarks>transformers/pytorch_utils.py, Conv1D</remarks>
public sealed partial class Conv1D : TensorModule, ILinear
{
    private readonly int _inputs, _outputs;
    private readonly Parameter _weight; // [inputs, outputs]
    private readonly Parameter _bias;   // [outputs]
    private readonly CachedView _view;

    public Conv1D(int outputs, int inputs)
    {
        (_inputs, _outputs) = (inputs, outputs);
        _weight = Matrix("weight", [inputs, outputs], inputs: 0);
        _bias = Weight("bias", outputs);
        _view = new CachedView(_weight, _bias, columns: true);
    }

    WeightView? ILinear.View => Observer is null ? _view.Get() : null;

    public override string ExtraRepr => $"nf={_outputs}, nx={_inputs}";

    /// <param name="input">[..., inputs]</param>
    /// <returns>[..., outputs]</returns>
    protected override Tensor Forward(Tensor input)
    {
        long[] shape = input.shape;
        using Tensor flat = input.reshape(-1, _inputs);                         // [all, inputs]
        using Tensor output = Products.addmm(_bias.Value, flat, _weight.Value);      // [all, outputs]
        shape[^1] = _outputs;
        return output.view(shape);
    }
}
