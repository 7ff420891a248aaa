using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What some rows were given instead of a module's output.</summary>
internal sealed record SkippedPart(RowView View, object? Value)
{
    /// <summary>True if no row is left that needs the module.</summary>
    public static bool CoverAll(SkippedPart[] parts) => parts[0].View.Pass.Rows < 0 || parts.Sum(p => p.View.Count) == parts[0].View.Pass.Rows;

    /// <summary>The module's output, made of the parts alone.</summary>
    public static object? Join(SkippedPart[] parts, Func<int, Axes> axes)
    {
        if (parts is [{ View.Pad: 0 } only]) return only.Value;
        // several views: columns that are padding for a view hold zeros, and nobody reads them
        if (!parts.Any(p => p.Value is object?[])) return Tensors(parts.Select(p => p.Value), parts, axes(0));
        object?[][] tuples = [.. parts.Select(p => p.Value as object?[] ?? [p.Value])];
        return Enumerable.Range(0, tuples.Min(t => t.Length)).Select(i => (object?)Tensors(tuples.Select(t => t[i]), parts, axes(i))).ToArray();
    }

    /// <summary>The module's output with the skipped rows replaced.</summary>
    public static object? Splice(SkippedPart[] parts, object? result, Func<int, Axes> axes, string site)
    {
        foreach (SkippedPart part in parts) result = part.View.Splice(result, part.Value, axes, site);
        return result;
    }

    private static torch.Tensor? Tensors(IEnumerable<object?> values, SkippedPart[] parts, Axes axes)
    {
        torch.Tensor?[] tensors = [.. values.Select(v => v as torch.Tensor)];
        if (tensors.Any(t => t is null)) return null;
        long[] shape = [.. tensors[0]!.shape];
        if (axes.Rows == Axes.None) throw Errors.Throwable(ErrorCode.Unsupported, "A module whose output has no rows cannot be skipped for some of them.");
        PassShape pass = parts[0].View.Pass;
        shape[axes.Rows] = pass.Rows;
        if (axes.Tokens != Axes.None && pass.HoldsPrompts) shape[axes.Tokens] += parts[0].View.Pad;
        torch.Tensor joined = torch.zeros(shape, tensors[0]!.dtype, tensors[0]!.device);
        for (int i = 0; i < parts.Length; i++)
        {
            using var target = (torch.Tensor)parts[i].View.Narrow(joined, _ => axes)!;
            target.copy_(tensors[i]!);
        }
        return joined;
    }
}
