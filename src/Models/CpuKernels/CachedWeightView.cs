using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>The <see cref="WeightView"/> of a layer's parameters, created again when a parameter gets another tensor.</summary>
internal sealed class CachedWeightView(Parameter weight, Parameter? bias, bool isInputMajor)
{
    private Tensor? _weight, _bias;
    private nint _weightHandle, _biasHandle;
    private WeightView? _view;

    public WeightView? Get()
    {
        if (weight.IsEightBit || bias is { IsEightBit: true }) return null;
        Tensor currentWeight = weight.Value;   // [outFeatures, inFeatures], or [inFeatures, outFeatures]
        Tensor? currentBias = bias?.Value;     // [outFeatures]
        nint weightHandle = currentWeight.Handle, biasHandle = currentBias?.Handle ?? 0;
        if (ReferenceEquals(currentWeight, _weight) && ReferenceEquals(currentBias, _bias)
            && weightHandle == _weightHandle && biasHandle == _biasHandle) return _view;
        (_weight, _bias, _weightHandle, _biasHandle) = (currentWeight, currentBias, weightHandle, biasHandle);
        _view = WeightView.TryCreate(currentWeight, currentBias, isInputMajor);
        return _view;
    }
}
