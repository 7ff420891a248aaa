using System.Globalization;
using Ndif.Protocol;
using Ndif.Recording;

namespace Ndif;

/// <summary>Records the output of a module with other tensors in place of its weights.</summary>
internal static class ReplacedWeights
{
    /// <summary>Whether the output with another parameter can be recorded.</summary>
    public static bool CanCompute(ModuleInfo module, string parameter) => parameter switch
    {
        "weight" => IsEmbedding(module) || IsLinear(module) || IsNorm(module),
        "bias" => IsLinear(module) || IsNorm(module),
        _ => false,
    };

    /// <summary>The output for an input of the module, rounded as the module rounds it.</summary>
    /// <param name="replaced">By name; the module's own parameters are used for the others.</param>
    /// <param name="type">The element type of the model.</param>
    public static Value Compute(Envoy module, ModuleInfo info, IReadOnlyDictionary<string, TensorData> replaced, Value input,
        DType type)
    {
        Value weight = Parameter("weight")!;
        Value? bias = Parameter("bias");
        if (IsEmbedding(info))
        {
            Value rows = Op.Embedding(input, weight);
            return EmbeddingScale(info, type) is { } scale ? rows * scale : rows;
        }
        if (IsLinear(info)) return Op.Linear(input, info.ClassName == "Conv1D" ? weight.Transpose(0, 1) : weight, bias);
        double epsilon = ReadEpsilon(info);
        if (info.ClassName == "LayerNorm") return Op.LayerNorm(input, [info.Parameters[0].Shape[0]], weight, bias, epsilon);
        Value wide = input.To(DType.Float32);
        Value normal = wide * (wide.Square().Mean(-1, true) + epsilon).Rsqrt();
        if (info.ClassName.StartsWith("Gemma", StringComparison.Ordinal)) return (normal * (weight.To(DType.Float32) + 1)).To(type);
        return info.ClassName.StartsWith("Olmo", StringComparison.Ordinal) ? (weight * normal).To(type) : weight * normal.To(type);

        Value? Parameter(string name) => replaced.TryGetValue(name, out TensorData? own) ? ((Value)own).To(type)
            : info.Parameters.Any(parameter => parameter.Name == name) ? module.Parameter(name) : null;
    }

    /// <summary>The factor of an embedding, the square root of the hidden size in the model's type; null if it has none.</summary>
    /// <remarks>GemmaTextScaledWordEmbedding in transformers/models/gemma/modeling_gemma.py</remarks>
    public static Value? EmbeddingScale(ModuleInfo module, DType type) => IsEmbedding(module) && module.ClassName != "Embedding"
        ? ((Value)new[] { (float)Math.Sqrt(module.Parameters[0].Shape[1]) }).To(type) : null;

    private static bool IsEmbedding(ModuleInfo module) =>
        module.ClassName == "Embedding" || module.ClassName.EndsWith("ScaledWordEmbedding", StringComparison.Ordinal);

    private static bool IsLinear(ModuleInfo module) =>
        module.ClassName == "Conv1D" || module.ClassName.EndsWith("Linear", StringComparison.Ordinal);

    private static bool IsNorm(ModuleInfo module) =>
        module.ClassName == "LayerNorm" || module.ClassName.EndsWith("RMSNorm", StringComparison.Ordinal);

    /// <summary>The eps in "(16,), eps=1e-05".</summary>
    internal static double ReadEpsilon(ModuleInfo module)
    {
        string text = module.Repr[(module.Repr.IndexOf("eps=", StringComparison.Ordinal) + 4)..];
        return double.Parse(text.Split(',')[0], CultureInfo.InvariantCulture);
    }
}
