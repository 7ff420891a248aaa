using System;
using System.Collections.Generic;
using System.Linq;

namespace Ndif.Models.Generator;

/// <summary>
/// The symbolic shape of a result from those of the arguments. It has only rules that hold for all sizes; any other operation gives an
/// unknown shape unless a comment declares it.
/// </summary>
internal static class ShapeRules
{
    /// <summary>The dimensions of the tensor that the result has, in the same order.</summary>
    private static readonly HashSet<string> _shapePreserving =
    [
        "to", "contiguous", "clone", "tanh", "cos", "sin", "square", "sqrt", "rsqrt", "exp", "log", "abs", "pow", "softmax", "gelu", "silu",
        "mish",
        "relu", "sigmoid", "clamp", "clamp_min", "masked_fill", "masked_fill_", "layer_norm", "neg", "bitwise_not", "logical_not", "cumsum",
        "type_as",
    ];

    private static readonly HashSet<string> _broadcasting =
    [
        "add", "sub", "mul", "div", "remainder", "bitwise_and", "bitwise_or", "bitwise_xor", "gt", "ge", "lt", "le", "eq", "ne",
    ];

    /// <param name="name">The name of the operation without its number.</param>
    /// <param name="shapes">The shapes of the arguments; null for an unknown shape.</param>
    /// <param name="isTensor">Which arguments are tensors.</param>
    /// <param name="constants">The arguments that are constants.</param>
    public static SymbolicShape? Of(string name, IReadOnlyList<SymbolicShape?> shapes, IReadOnlyList<bool> isTensor,
        IReadOnlyList<long?> constants)
    {
        string[]? first = shapes.Count > 0 ? shapes[0]?.Dimensions : null;
        if (_broadcasting.Contains(name) && shapes.Count == 2) return Single(Broadcast(shapes, isTensor));
        if (_shapePreserving.Contains(name)) return Single(first);
        if (name is "view" or "reshape" && shapes.Count == 2 && !isTensor[1]) return shapes[1]; // the shape of another tensor
        if (first is null || first.Contains("...")) return null;
        switch (name)
        {
            case "transpose" when At(1) is { } a && At(2) is { } b:
                string[] swapped = [.. first];
                (swapped[a], swapped[b]) = (swapped[b], swapped[a]);
                return Single(swapped);
            case "unsqueeze" when constants.Count > 1 && constants[1] is { } where:
                int at = (int)(where < 0 ? where + first.Length + 1 : where);
                return at < 0 || at > first.Length ? null : Single([.. first.Take(at), "1", .. first.Skip(at)]);
            case "chunk" or "split" when At(2) is { } cut && !SymbolicShape.ContainsAxis(first[cut]):
                return Single(Part(cut));
            case "narrow" when At(1) is { } cut && !SymbolicShape.ContainsAxis(first[cut]):
                return Single(Part(cut));
            case "repeat_interleave" when At(2) is { } cut && !SymbolicShape.ContainsAxis(first[cut]):
                return Single(Part(cut));
            case "cat" when At(1) is { } cut && !SymbolicShape.ContainsAxis(first[cut]):
                return Single(Part(cut));
            case "select" when At(1) is { } cut && !SymbolicShape.ContainsAxis(first[cut]):
                return Single([.. first.Where((_, i) => i != cut)]);
            case "flatten" when shapes.Count == 2 && At(1) is { } from && !first.Skip(from).Any(SymbolicShape.ContainsAxis):
                return Single([.. first.Take(from), "features"]);
            case "linear" when !SymbolicShape.ContainsAxis(first[first.Length - 1]):
                return Single(Part(first.Length - 1));
            default:
                return null;
        }

        int? At(int argument)
        {
            if (argument >= constants.Count || constants[argument] is not { } dimension) return null;
            if (dimension < 0) dimension += first!.Length;
            return dimension >= 0 && dimension < first!.Length ? (int)dimension : null;
        }

        string[] Part(int dimension) => [.. first!.Select((d, i) => i == dimension ? $"part of {d}" : d)];
    }

    private static SymbolicShape? Single(string[]? dimensions) => dimensions is null ? null : new SymbolicShape(dimensions);

    /// <summary>PyTorch's rule: dimensions are aligned from the right, and a dimension of size 1 broadcasts.</summary>
    private static string[]? Broadcast(IReadOnlyList<SymbolicShape?> shapes, IReadOnlyList<bool> isTensor)
    {
        if (!isTensor[0] || !isTensor[1]) return shapes[isTensor[0] ? 0 : 1]?.Dimensions;
        if (shapes[0]?.Dimensions is not { } left || shapes[1]?.Dimensions is not { } right) return null;
        if (left.Contains("...") || right.Contains("...")) return left.SequenceEqual(right) ? left : null;
        var result = new string[Math.Max(left.Length, right.Length)];
        for (int i = 1; i <= result.Length; i++)
        {
            string a = i <= left.Length ? left[left.Length - i] : "1", b = i <= right.Length ? right[right.Length - i] : "1";
            if (a != "1" && b != "1" && a != b && (SymbolicShape.ContainsAxis(a) || SymbolicShape.ContainsAxis(b))) return null;
            result[result.Length - i] = a == "1" ? b : a;
        }
        return result;
    }
}
