using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>GPT-2's linear layer, whose weight is stored transposed: y = x W + b, with W [inFeatures, outFeatures].</summary>
/// <remarks>transformers/pytorch_utils.py, Conv1D</remarks>
public sealed partial class Conv1D : TensorModule, ILinearLayer
{
    private readonly int _inFeatures, _outFeatures;
    private readonly Parameter _weight; // [inFeatures, outFeatures]
    private readonly Parameter _bias;   // [outFeatures]
    private readonly CachedWeightView _view;

    public Conv1D(int outFeatures, int inFeatures)
    {
        (_inFeatures, _outFeatures) = (inFeatures, outFeatures);
        _weight = LinearWeight("weight", [inFeatures, outFeatures], inFeaturesDim: 0);
        _bias = Weight("bias", outFeatures);
        _view = new CachedWeightView(_weight, _bias, isInputMajor: true);
    }

    WeightView? ILinearLayer.View => Hook is null ? _view.Get() : null;

    public override string ExtraRepr => $"nf={_outFeatures}, nx={_inFeatures}";

    /// <param name="input">[..., inFeatures]</param>
    /// <returns>[..., outFeatures]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_view.TryMultiplyPacked(input) is { } product) return product;
        long[] shape = input.shape;
        using Tensor flat = input.reshape(-1, _inFeatures);                         // [all, inFeatures]
        using Tensor output = LinearKernels.addmm(_bias.Value, flat, _weight.Value);      // [all, outFeatures]
        shape[^1] = _outFeatures;
        return output.view(shape);
    }
}
