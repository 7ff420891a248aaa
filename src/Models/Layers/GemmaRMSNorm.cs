using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>x / sqrt(mean(x²) + eps) * (1 + weight) over the last dimension, all of it in float32.</summary>
/// <remarks>GemmaRMSNorm in transformers/models/gemma/modeling_gemma.py and its copies in gemma2 and gemma3</remarks>
public sealed partial class GemmaRMSNorm : TensorModule, INorm
{
    private readonly int _width;
    private readonly double _epsilon;
    private readonly Parameter _weight; // [width]

    /// <param name="className">As Hugging Face's model calls its copy: "Gemma2RMSNorm".</param>
    /// <param name="axes">Of what it is given, where that is not [rows, tokens, ...].</param>
    public GemmaRMSNorm(string className, int width, double epsilon, Axes? axes = null)
    {
        (ClassName, _width, _epsilon, Axes) = (className, width, epsilon, axes ?? Axes.Hidden);
        _weight = Weight("weight", width);
    }

    public override string ClassName { get; }

    public override string ExtraRepr => $"({_width},), eps={PythonText.Of(_epsilon)}";

    RowNorm? INorm.View(ScalarType type) => RowNorm.Of(NormKind.RmsOfOne, _weight, null, _epsilon, type);

    /// <param name="input">[..., width]</param>
    /// <returns>[..., width]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (RowNorm.Run(NormKind.RmsOfOne, input, _weight, null, _epsilon) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor wide = input.to(ScalarType.Float32);                                                 // [..., width]
        Tensor normal = wide * rsqrt(wide.square().mean([-1], keepdim: true) + _epsilon);           // [..., width]
        Tensor output = normal * (_weight.Value.to(ScalarType.Float32) + 1.0);                      // [..., width]
        return output.to(input.dtype).MoveToOuterDisposeScope();
    }
}
