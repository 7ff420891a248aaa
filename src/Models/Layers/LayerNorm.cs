using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>(x - mean) / sqrt(variance + eps) * weight + bias over the last dimension.</summary>
/// <remarks>torch/nn/modules/normalization.py</remarks>
public sealed partial class LayerNorm : TensorModule
{
    private readonly long[] _normalizedShape;
    private readonly double _epsilon;
    private readonly bool _isUnitOffset;
    private readonly Parameter? _weight; // [hidden]
    private readonly Parameter? _bias;   // [hidden]

    /// <param name="elementwiseAffine">False for a norm without weights.</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    /// <param name="className">The class name in Hugging Face's code, if the model has its own class: "CohereLayerNorm".</param>
    /// <param name="isUnitOffset">Whether the weight is an offset from 1, as in NemotronLayerNorm1P.</param>
    /// <param name="printsOptions">Whether the printed module has the options, as PyTorch's own.</param>
    public LayerNorm(int hiddenSize, double epsilon = 1e-5, bool bias = true, Axes? axes = null, bool elementwiseAffine = true,
        string className = "LayerNorm", bool isUnitOffset = false, bool printsOptions = true)
    {
        (_normalizedShape, _epsilon, Axes) = ([hiddenSize], epsilon, axes ?? Axes.Hidden);
        (ClassName, _isUnitOffset) = (className, isUnitOffset);
        _weight = elementwiseAffine ? Weight("weight", hiddenSize) : null;
        _bias = elementwiseAffine && bias ? Weight("bias", hiddenSize) : null;
        if (!printsOptions) return;
        ExtraRepr = $"({hiddenSize},), eps={PythonNumberFormat.Format(epsilon)}, elementwise_affine="
            + (_weight is null ? "False" : "True") + $", bias={(_bias is null ? "False" : "True")}";
    }

    public override string ClassName { get; }

    public override string ExtraRepr { get; } = "";

    /// <summary>The factors of the normalized values, [hidden]; null for none.</summary>
    private Tensor? Scale => _isUnitOffset ? _weight!.Value + 1 : _weight?.Value;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) => info.Norm = new()
    {
        SubtractsMean = true, UnitOffset = _isUnitOffset, Epsilon = _epsilon,
    };

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        NormKind kind = _isUnitOffset ? NormKind.LayerUnitOffset : NormKind.Layer;
        if (NormKernel.TryForward(kind, input, _weight, _bias, _epsilon) is { } fused) return fused;
        return input.device_type == TorchSharp.DeviceType.META
            ? empty_like(input) // libtorch has no meta kernel for it
            : nn.functional.layer_norm(input, _normalizedShape, Scale, _bias?.Value, _epsilon);
    }
}
