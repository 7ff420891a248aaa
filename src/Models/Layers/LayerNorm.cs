using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>(x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.</summary>
/// <remarks>torch/nn/modules/normalization.py</remarks>
public sealed partial class LayerNorm : TensorModule
{
    private readonly long[] _shape;
    private readonly double _epsilon;
    private readonly Parameter? _weight; // [width]
    private readonly Parameter? _bias;   // [width]

    /// <param name="affine">False for a norm without weights.</param>
    /// <param name="axes">Of what it is given, where that is not [rows, tokens, ...].</param>
    public LayerNorm(int width, double epsilon = 1e-5, bool bias = true, Axes? axes = null, bool affine = true)
    {
        (_shape, _epsilon, Axes) = ([width], epsilon, axes ?? Axes.Hidden);
        _weight = affine ? Weight("weight", width) : null;
        _bias = affine && bias ? Weight("bias", width) : null;
    }

    public override string ExtraRepr => $"({_shape[0]},), eps={PythonText.Of(_epsilon)}, elementwise_affine="
        + (_weight is null ? "False" : "True") + $", bias={(_bias is null ? "False" : "True")}";

    /// <param name="input">[..., width]</param>
    /// <returns>[..., width]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (RowNorm.Run(NormKind.Layer, input, _weight, _bias, _epsilon) is { } quick) return quick;
        return input.device_type == TorchSharp.DeviceType.META
            ? empty_like(input) // libtorch has no meta kernel for it
            : nn.functional.layer_norm(input, _shape, _weight?.Value, _bias?.Value, _epsilon);
    }
}
