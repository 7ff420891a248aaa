using Ndif.Engine.Running;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The value that replaces a module's output for the rows of an invoke: a tensor or a tuple of tensors.</summary>
internal sealed record SkippedRows(Interpreter Invoke, object Value)
{
    private BatchSlice Slice => Invoke.Slice!;

    private torch.Tensor?[] Elements => Value is object?[] tuple ? Array.ConvertAll(tuple, item => item as torch.Tensor)
        : [(torch.Tensor)Value];

    /// <summary>Whether these are all rows of another invoke of the trace.</summary>
    public bool Covers(Interpreter other) => other.EnclosingTrace == Invoke.EnclosingTrace
        && (Slice.Count < 0 || (Slice.Start <= other.Slice!.Start && other.Slice.Start + other.Slice.Count <= Slice.Start + Slice.Count));

    /// <summary>
    /// Builds the module's output from the parts only. Returns null if other rows need the module, or if the parts do not fit together.
    /// </summary>
    public static object? Join(IReadOnlyList<SkippedRows> parts, Func<int, Axes> axes)
    {
        if (!CoversBatch(parts)) return null;
        if (parts[^1].Slice.CoversBatch && !axes(0).IsRouted) return parts[^1].Value;
        var joined = new torch.Tensor?[parts.Min(p => p.Elements.Length)];
        for (int i = 0; i < joined.Length; i++)
        {
            if (parts.Any(p => p.Elements[i] is null)) continue;
            if ((joined[i] = JoinTensors([.. parts.Select(p => (p.Slice, p.Elements[i]!))], axes(i))) is null) return null;
        }
        return parts.All(p => p.Value is torch.Tensor) ? joined[0] : (object?[])joined;
    }

    /// <summary>Returns the module's output with the skipped rows replaced. A part that does not fit fails its own job.</summary>
    public static object? Splice(IReadOnlyList<SkippedRows> parts, object? result, Func<int, Axes> axes, string site)
    {
        HashSet<torch.Tensor> copies = TensorOwnership.NewTensorSet();
        foreach (SkippedRows part in parts)
        {
            try
            {
                result = part.Slice.Splice(result, part.Value, axes, site, copies);
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
        BatchShape batch = parts[0].Slice.Batch;
        if (batch.BatchSize < 0) return true;
        var covered = new bool[batch.BatchSize];
        foreach (SkippedRows part in parts) Array.Fill(covered, true, (int)part.Slice.Start, (int)part.Slice.Count);
        return Array.TrueForAll(covered, c => c);
    }

    /// <summary>Joins the tensors of the parts along the batch dimension. Padding tokens are zero; no row reads them.</summary>
    private static torch.Tensor? JoinTensors((BatchSlice Slice, torch.Tensor Tensor)[] parts, Axes axes)
    {
        long[] shape = parts[0].Slice.WholeShape(parts[0].Tensor, axes);
        if (axes.Batch == Axes.None || parts.Any(p => !p.Slice.WholeShape(p.Tensor, axes).SequenceEqual(shape))) return null;
        torch.Tensor joined = torch.zeros(shape, parts[0].Tensor.dtype, parts[0].Tensor.device); // [batch, seq, ...]
        foreach (var (slice, tensor) in parts)
            slice.CopyInto(joined, tensor, axes);
        return joined;
    }
}
