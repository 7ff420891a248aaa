using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>x / sqrt(mean(x²) + eps) * weight over the last dimension, the normalization in float32.</summary>
/// <remarks>LlamaRMSNorm in transformers/models/llama/modeling_llama.py; each model has its own copy with its own name.</remarks>
public sealed partial class RMSNorm : TensorModule, INorm
{
    private readonly int _width;
    private readonly double _epsilon;
    private readonly Parameter _weight; // [width]

    /// <param name="className">As Hugging Face's model calls its copy: "LlamaRMSNorm".</param>
    public RMSNorm(string className, int width, double epsilon)
    {
        (ClassName, _width, _epsilon) = (className, width, epsilon);
        _weight = Weight("weight", width);
    }

    public override string ClassName { get; }

    public override string ExtraRepr => $"({_width},), eps={PythonText.Of(_epsilon)}";

    RowNorm? INorm.View(ScalarType type) => RowNorm.Of(NormKind.Rms, _weight, null, _epsilon, type);

    /// <param name="input">[..., width]</param>
    /// <returns>[..., width]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (RowNorm.Run(NormKind.Rms, input, _weight, null, _epsilon) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor wide = input.to(ScalarType.Float32);                                 // [..., width]
        Tensor variance = wide.square().mean([-1], keepdim: true);                  // [..., 1]
        Tensor normal = wide * rsqrt(variance + _epsilon);                          // [..., width]
        return (_weight.Value * normal.to(input.dtype)).MoveToOuterDisposeScope(); // [..., width]
    }
}
