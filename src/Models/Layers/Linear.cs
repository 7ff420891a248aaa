using System.Globalization;
using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>y = x Wᵀ + b, with W [outFeatures, inFeatures].</summary>
/// <remarks>torch/nn/modules/linear.py</remarks>
public sealed partial class Linear : TensorModule, ILinearLayer
{
    private readonly int _inFeatures, _outFeatures;
    private readonly Parameter _weight; // [outFeatures, inFeatures]
    private readonly Parameter? _bias;  // [outFeatures]
    private readonly CachedWeightView _view;

    /// <param name="tiedWeight">The weight of another module, used here too: an embedding [outFeatures, inFeatures].</param>
    /// <param name="className">The class name in Hugging Face's code, if the model has its own class: "FalconLinear".</param>
    /// <param name="tiedBias">The bias of another module, used here too.</param>
    public Linear(int inFeatures, int outFeatures, bool bias = true, Parameter? tiedWeight = null, string className = "Linear",
        Parameter? tiedBias = null)
    {
        (ClassName, _inFeatures, _outFeatures) = (className, inFeatures, outFeatures);
        _weight = tiedWeight is null ? LinearWeight("weight", [outFeatures, inFeatures], inFeaturesDim: 1) : Tie(tiedWeight);
        _bias = tiedBias is not null ? Tie(tiedBias) : bias ? Weight("bias", outFeatures) : null;
        _view = new CachedWeightView(_weight, _bias, isInputMajor: false);
    }

    /// <summary>[outFeatures, inFeatures], for a parent that multiplies by it without a call of this module.</summary>
    internal Parameter Weights => _weight;

    WeightView? ILinearLayer.View => Hook is null ? _view.Get() : null;

    public override string ClassName { get; }

    public override string ExtraRepr => string.Create(CultureInfo.InvariantCulture,
        $"in_features={_inFeatures}, out_features={_outFeatures}, bias={(_bias is null ? "False" : "True")}");

    /// <summary>Computes some of the output features, and leaves the others zero.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <param name="features">
    /// The features, in any order. Those that the layer does not have are ignored; negative ones count from the end.
    /// </param>
    /// <returns>[..., outFeatures]; null if the weight has to be read whole.</returns>
    internal Tensor? TryForward(Tensor input, IEnumerable<long> features)
    {
        if (_weight.IsPacked) return null;
        using var scope = NewDisposeScope();
        long[] indices = [.. features.Select(feature => feature < 0 ? feature + _outFeatures : feature)
            .Where(feature => feature >= 0 && feature < _outFeatures).Distinct()];
        Tensor output = zeros([.. input.shape[..^1], _outFeatures], input.dtype, input.device); // [..., outFeatures]
        if (indices.Length > 0)
        {
            Tensor index = tensor(indices, device: input.device); // [count]
            Tensor weight = _weight.Value.index_select(0, index);                                           // [count, inFeatures]
            Tensor some = LinearKernels.linear(input, weight, _bias?.Value.index_select(0, index));         // [..., count]
            output.index_copy_(-1, index, some);
        }
        return output.MoveToOuterDisposeScope();
    }

    /// <param name="input">[..., inFeatures]</param>
    /// <returns>[..., outFeatures]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_view.TryMultiplyPacked(input) is { } output) return output;
        return LinearKernels.linear(input, _weight.Value, _bias?.Value);
    }
}
