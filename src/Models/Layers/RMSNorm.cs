using System.Globalization;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>x / sqrt(mean(x²) + eps) * weight over the last dimension, the normalization in float32.</summary>
/// <remarks>
/// LlamaRMSNorm in transformers/models/llama/modeling_llama.py; Olmo2RMSNorm, which rounds once, after the weight; GemmaRMSNorm, whose
/// weight is an offset from 1 and which multiplies in float32. Hugging Face has one copy per model.
/// </remarks>
[SharedLayer]
public sealed partial class RMSNorm : TensorModule, INormLayer
{
    private readonly double _epsilon;
    private readonly NormKind _kind;
    private readonly Parameter? _weight; // [hidden]

    /// <param name="className">The class name in Hugging Face's code of the model: "LlamaRMSNorm".</param>
    /// <param name="axes">The axes of the input, if they are not [batch, seq, ...].</param>
    /// <param name="format">The printed options, from size and eps, if they are not printed as in Llama.</param>
    /// <param name="hasWeight">False for a norm that only normalizes.</param>
    internal RMSNorm(string className, int hiddenSize, double epsilon, NormKind kind = NormKind.Rms, Axes? axes = null,
        string format = "({0},), eps={1}", bool hasWeight = true)
    {
        ExtraRepr = string.Format(CultureInfo.InvariantCulture, format, hiddenSize, PythonNumberFormat.Format(epsilon));
        (ClassName, _epsilon, _kind, Axes) = (className, epsilon, kind, axes ?? Axes.Hidden);
        if (hasWeight) _weight = Weight("weight", hiddenSize);
    }

    public override string ClassName { get; }

    public override string ExtraRepr { get; }

    NormKernel? INormLayer.GetKernel(ScalarType type) => NormKernel.TryCreate(_kind, _weight, null, _epsilon, type);

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) => info.Norm = new()
    {
        UnitOffset = _kind is NormKind.RmsUnitOffset, Epsilon = _epsilon,
    };

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (NormKernel.TryForward(_kind, input, _weight, null, _epsilon) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor float32 = input.to(ScalarType.Float32);                              // [..., hidden]
        Tensor variance = float32.square().mean([-1], keepdim: true);               // [..., 1]
        Tensor normal = float32 * rsqrt(variance + _epsilon);                       // [..., hidden]
        if (_weight is null) return normal.to(input.dtype).MoveToOuterDisposeScope();
        if (_kind is NormKind.Rms) return (_weight.Value * normal.to(input.dtype)).MoveToOuterDisposeScope();
        if (_kind is NormKind.RmsRoundedOnce) return (_weight.Value * normal).to(input.dtype).MoveToOuterDisposeScope();
        return (normal * (_weight.Value.to(ScalarType.Float32) + 1.0)).to(input.dtype).MoveToOuterDisposeScope();
    }
}
