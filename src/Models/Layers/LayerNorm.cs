using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>(x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.</summary>
/// <remarks>torch/nn/modules/normalization.py</remarks>
public sealed partial class LayerNorm : TensorModule
{
    private readonly long[] _normalizedShape;
    private readonly double _epsilon;
    private readonly Parameter? _weight; // [hidden]
    private readonly Parameter? _bias;   // [hidden]

    /// <param name="elementwiseAffine">False for a norm without weights.</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    public LayerNorm(int hiddenSize, double epsilon = 1e-5, bool bias = true, Axes? axes = null, bool elementwiseAffine = true)
    {
        (_normalizedShape, _epsilon, Axes) = ([hiddenSize], epsilon, axes ?? Axes.Hidden);
        _weight = elementwiseAffine ? Weight("weight", hiddenSize) : null;
        _bias = elementwiseAffine && bias ? Weight("bias", hiddenSize) : null;
    }

    public override string ExtraRepr => $"({_normalizedShape[0]},), eps={PythonNumberFormat.Format(_epsilon)}, elementwise_affine="
        + (_weight is null ? "False" : "True") + $", bias={(_bias is null ? "False" : "True")}";

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (NormKernel.TryForward(NormKind.Layer, input, _weight, _bias, _epsilon) is { } quick) return quick;
        return input.device_type == TorchSharp.DeviceType.META
            ? empty_like(input) // libtorch has no meta kernel for it
            : nn.functional.layer_norm(input, _normalizedShape, _weight?.Value, _bias?.Value, _epsilon);
    }
}
