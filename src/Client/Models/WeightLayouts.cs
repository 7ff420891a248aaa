using Ndif.Protocol;

namespace Ndif;

/// <summary>Reads weights in the shapes of the literature, whatever an architecture stores (<see cref="AttentionLayout"/>).</summary>
internal static class WeightLayouts
{
    /// <summary>The output features of a linear layer.</summary>
    public static int OutFeatures(ModuleInfo linear) =>
        (int)(IsTransposed(linear) ? linear.Parameters[0].Shape[1] : linear.Parameters[0].Shape[0]);

    /// <summary>The neurons of a layer's mlp; null if it is not of the usual form.</summary>
    public static int? Intermediate(ModuleInfo layer, string mlp)
    {
        ModuleInfo? owner = layer.Find(mlp) is { Mlp: not null } module ? module : layer.Mlp is not null ? layer : null;
        return owner?.Find(owner.Mlp.Up.Module) is { } up ? OutFeatures(up) / (int)owner.Mlp.Up.Parts : null;
    }

    /// <summary>GPT-2's linear layers store [in, out], all others [out, in].</summary>
    public static bool IsTransposed(ModuleInfo linear) => linear.ClassName == "Conv1D";

    /// <summary>The weight of a linear layer.</summary>
    /// <returns>[out, in]</returns>
    public static Value Weight(Envoy linear, ModuleInfo info)
    {
        Value weight = linear.Parameter("weight");
        return IsTransposed(info) ? weight.Transpose(0, 1) : weight;
    }

    /// <summary>The rows of heads, each [headDim, in].</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="heads">The number of heads.</param>
    /// <param name="headDim">Elements of a head.</param>
    /// <param name="layout">Which rows are those of the heads.</param>
    /// <returns>[heads, headDim, in]</returns>
    public static Value Heads(Value weight, int heads, int headDim, HeadWeights layout)
    {
        int blocks = (int)layout.Blocks, offset = (int)layout.Offset, rows = heads / blocks * headDim;
        Value parts = weight.Unflatten(0, [blocks, -1]);                 // [blocks, rows of a block, in]
        return parts[.., offset..(offset + rows)].Reshape([heads, headDim, -1]);
    }

    /// <summary>The rows of one part of a linear layer.</summary>
    /// <param name="weight">[out, in]</param>
    /// <param name="part">Which of the equal parts of the rows.</param>
    /// <returns>[out / parts, in]</returns>
    public static Value Part(Value weight, LinearPart part) =>
        part.Parts == 1 ? weight : weight.Unflatten(0, [(int)part.Parts, -1])[(int)part.Part];
}
