using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>x / sqrt(mean(x²) + eps) * weight over the last dimension, the normalization in float32.</summary>
/// <remarks>LlamaRMSNorm in transformers/models/llama/modeling_llama.py; each model has its own copy with its own name.</remarks>
public sealed partial class RMSNorm : TensorModule, INormLayer
{
    private readonly int _hiddenSize;
    private readonly double _epsilon;
    private readonly Parameter _weight; // [hidden]

    /// <param name="className">As Hugging Face's model calls its copy: "LlamaRMSNorm".</param>
    public RMSNorm(string className, int hiddenSize, double epsilon)
    {
        (ClassName, _hiddenSize, _epsilon) = (className, hiddenSize, epsilon);
        _weight = Weight("weight", hiddenSize);
    }

    public override string ClassName { get; }

    public override string ExtraRepr => $"({_hiddenSize},), eps={PythonNumberFormat.Format(_epsilon)}";

    NormKernel? INormLayer.GetKernel(ScalarType type) => NormKernel.TryCreate(NormKind.Rms, _weight, null, _epsilon, type);

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (NormKernel.TryForward(NormKind.Rms, input, _weight, null, _epsilon) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor wide = input.to(ScalarType.Float32);                                 // [..., hidden]
        Tensor variance = wide.square().mean([-1], keepdim: true);                  // [..., 1]
        Tensor normal = wide * rsqrt(variance + _epsilon);                          // [..., hidden]
        return (_weight.Value * normal.to(input.dtype)).MoveToOuterDisposeScope(); // [..., hidden]
    }
}
