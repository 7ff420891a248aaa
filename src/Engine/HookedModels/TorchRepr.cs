using TorchSharp.Modules;
using static TorchSharp.torch;

namespace Ndif.Engine.HookedModels;

/// <summary>The text that PyTorch prints in parentheses for a layer (its extra_repr).</summary>
internal static class TorchRepr
{
    public static string Of(nn.Module module) => module switch
    {
        Linear linear =>
            $"in_features={linear.in_features}, out_features={linear.out_features}, bias={(linear.bias is null ? "False" : "True")}",
        Embedding embedding => $"{embedding.weight!.shape[0]}, {embedding.weight.shape[1]}",
        LayerNorm norm => $"({string.Join(", ", norm.normalized_shape)}{(norm.normalized_shape.Length == 1 ? "," : "")}), "
            + $"eps={FormatEps(norm.eps)}, elementwise_affine={(norm.weight is null ? "False" : "True")}",
        Dropout dropout =>
            string.Create(System.Globalization.CultureInfo.InvariantCulture,
                $"p={dropout.p}, inplace={(dropout.inplace ? "True" : "False")}"),
        _ => "",
    };

    /// <summary>1e-05, as Python writes it.</summary>
    private static string FormatEps(double value) => value.ToString("0.#####e-00", System.Globalization.CultureInfo.InvariantCulture);
}
