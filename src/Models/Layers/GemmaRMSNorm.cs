using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>x / sqrt(mean(x²) + eps) * (1 + weight) over the last dimension, all of it in float32.</summary>
/// <remarks>GemmaRMSNorm in transformers/models/gemma/modeling_gemma.py and its copies in gemma2 and gemma3</remarks>
public sealed partial class GemmaRMSNorm : TensorModule, INormLayer
{
    private readonly int _hiddenSize;
    private readonly double _epsilon;
    private readonly Parameter _weight; // [hidden]

    /// <param name="className">As Hugging Face's model calls its copy: "Gemma2RMSNorm".</param>
    /// <param name="axes">Of what it is given, where that is not [batch, seq, ...].</param>
    public GemmaRMSNorm(string className, int hiddenSize, double epsilon, Axes? axes = null)
    {
        (ClassName, _hiddenSize, _epsilon, Axes) = (className, hiddenSize, epsilon, axes ?? Axes.Hidden);
        _weight = Weight("weight", hiddenSize);
    }

    public override string ClassName { get; }

    public override string ExtraRepr => $"({_hiddenSize},), eps={PythonNumberFormat.Format(_epsilon)}";

    NormKernel? INormLayer.GetKernel(ScalarType type) => NormKernel.TryCreate(NormKind.RmsUnitOffset, _weight, null, _epsilon, type);

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (NormKernel.TryForward(NormKind.RmsUnitOffset, input, _weight, null, _epsilon) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor wide = input.to(ScalarType.Float32);                                                 // [..., hidden]
        Tensor normal = wide * rsqrt(wide.square().mean([-1], keepdim: true) + _epsilon);           // [..., hidden]
        Tensor output = normal * (_weight.Value.to(ScalarType.Float32) + 1.0);                      // [..., hidden]
        return output.to(input.dtype).MoveToOuterDisposeScope();
    }
}
