using Ndif.Models.Loading;
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
        EightBitWeight? eightBit = weight.EightBit;
        BlockWeight? blocks = weight.Blocks;
        // [outFeatures, inFeatures], or [inFeatures, outFeatures]
        Tensor currentWeight = eightBit?.Values ?? blocks?.Codes ?? weight.Value;
        Tensor? currentBias = bias?.Value;                         // [outFeatures]
        nint weightHandle = currentWeight.Handle, biasHandle = currentBias?.Handle ?? 0;
        if (ReferenceEquals(currentWeight, _weight) && ReferenceEquals(currentBias, _bias)
            && weightHandle == _weightHandle && biasHandle == _biasHandle) return _view;
        (_weight, _bias, _weightHandle, _biasHandle) = (currentWeight, currentBias, weightHandle, biasHandle);
        _view = eightBit is not null ? WeightView.TryCreate(eightBit, currentBias, isInputMajor)
            : blocks is not null ? WeightView.TryCreate(blocks, currentBias)
            : WeightView.TryCreate(currentWeight, currentBias, isInputMajor);
        return _view;
    }

    /// <summary>The product with a weight in four or eight bits.</summary>
    /// <param name="input">[..., inFeatures]</param>
    /// <returns>[..., outFeatures], or null if the weight is not packed or libtorch has to compute the product.</returns>
    [FastPath]
    public Tensor? TryMultiplyPacked(Tensor input) =>
        weight.IsPacked && LinearKernels.Supports(input) && Get() is { } view ? LinearKernels.TryMultiply(input, view) : null;
}
