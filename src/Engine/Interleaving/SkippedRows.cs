using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What the rows of an invoke were given instead of a module's output: tensors, as a tuple or a single one.</summary>
internal sealed record SkippedRows(Interpreter Invoke, object Value)
{
    private BatchSlice Slice => Invoke.Slice!;

    private torch.Tensor?[] Elements => Value is object?[] tuple ? Array.ConvertAll(tuple, item => item as torch.Tensor) : [(torch.Tensor)Value];

    /// <summary>The module's output, made of the parts alone; null if rows are left that need the module, or the parts do not fit together.</summary>
    public static object? Join(IReadOnlyList<SkippedRows> parts, Func<int, Axes> axes)
    {
        if (!CoversBatch(parts)) return null;
        if (parts[^1].Slice.CoversBatch) return parts[^1].Value;
        var joined = new torch.Tensor?[parts.Min(p => p.Elements.Length)];
        for (int i = 0; i < joined.Length; i++)
        {
            if (parts.Any(p => p.Elements[i] is null)) continue;
            if ((joined[i] = JoinTensors([.. parts.Select(p => (p.Slice, p.Elements[i]!))], axes(i))) is null) return null;
        }
        return parts.All(p => p.Value is torch.Tensor) ? joined[0] : (object?[])joined;
    }

    /// <summary>The module's output with the skipped rows replaced. A part that does not fit fails its own job.</summary>
    public static object? Splice(IReadOnlyList<SkippedRows> parts, object? result, Func<int, Axes> axes, string site)
    {
        foreach (SkippedRows part in parts)
        {
            try
            {
                result = part.Slice.Splice(result, part.Value, axes, site);
            }
            catch (Exception e)
            {
                part.Invoke.Job.Fail(e, part.Invoke.Job.LastWriteNode ?? 0);
            }
        }
        return result;
    }

    private static bool CoversBatch(IReadOnlyList<SkippedRows> parts)
    {
        BatchShape pass = parts[0].Slice.Batch;
        if (pass.BatchSize < 0) return true;
        var covered = new bool[pass.BatchSize];
        foreach (SkippedRows part in parts) Array.Fill(covered, true, (int)part.Slice.Start, (int)part.Slice.Count);
        return Array.TrueForAll(covered, c => c);
    }

    /// <summary>Columns that are padding for a view hold zeros, and nobody reads them.</summary>
    private static torch.Tensor? JoinTensors((BatchSlice View, torch.Tensor Tensor)[] parts, Axes axes)
    {
        long[] shape = parts[0].View.Whole(parts[0].Tensor, axes);
        if (axes.Batch == Axes.None || parts.Any(p => !p.View.Whole(p.Tensor, axes).SequenceEqual(shape))) return null;
        torch.Tensor joined = torch.zeros(shape, parts[0].Tensor.dtype, parts[0].Tensor.device);
        foreach (var (view, tensor) in parts)
            view.CopyInto(joined, tensor, axes);
        return joined;
    }
}
