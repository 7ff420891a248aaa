using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>What the rows of an invoke were given instead of a module's output: tensors, as a tuple or a single one.</summary>
internal sealed record SkippedPart(Interpreter Invoke, object Value)
{
    private RowView View => Invoke.View!;

    private torch.Tensor?[] Elements => Value is object?[] tuple ? Array.ConvertAll(tuple, item => item as torch.Tensor) : [(torch.Tensor)Value];

    /// <summary>The module's output, made of the parts alone; null if rows are left that need the module, or the parts do not fit together.</summary>
    public static object? Join(IReadOnlyList<SkippedPart> parts, Func<int, Axes> axes)
    {
        if (!CoverAll(parts)) return null;
        if (parts[^1].View.CoversAll) return parts[^1].Value;
        var joined = new torch.Tensor?[parts.Min(p => p.Elements.Length)];
        for (int i = 0; i < joined.Length; i++)
        {
            if (parts.Any(p => p.Elements[i] is null)) continue;
            if ((joined[i] = Joined([.. parts.Select(p => (p.View, p.Elements[i]!))], axes(i))) is null) return null;
        }
        return parts.All(p => p.Value is torch.Tensor) ? joined[0] : (object?[])joined;
    }

    /// <summary>The module's output with the skipped rows replaced. A part that does not fit fails its own job.</summary>
    public static object? Splice(IReadOnlyList<SkippedPart> parts, object? result, Func<int, Axes> axes, string site)
    {
        foreach (SkippedPart part in parts)
        {
            try
            {
                result = part.View.Splice(result, part.Value, axes, site);
            }
            catch (Exception e)
            {
                part.Invoke.Job.Fail(e, part.Invoke.Job.LastWrite ?? 0);
            }
        }
        return result;
    }

    private static bool CoverAll(IReadOnlyList<SkippedPart> parts)
    {
        PassShape pass = parts[0].View.Pass;
        if (pass.Rows < 0) return true;
        var covered = new bool[pass.Rows];
        foreach (SkippedPart part in parts) Array.Fill(covered, true, (int)part.View.Start, (int)part.View.Count);
        return Array.TrueForAll(covered, c => c);
    }

    /// <summary>Columns that are padding for a view hold zeros, and nobody reads them.</summary>
    private static torch.Tensor? Joined((RowView View, torch.Tensor Tensor)[] parts, Axes axes)
    {
        long[] shape = parts[0].View.Whole(parts[0].Tensor, axes);
        if (axes.Rows == Axes.None || parts.Any(p => !p.View.Whole(p.Tensor, axes).SequenceEqual(shape))) return null;
        torch.Tensor joined = torch.zeros(shape, parts[0].Tensor.dtype, parts[0].Tensor.device);
        foreach (var (view, tensor) in parts)
            view.Put(joined, tensor, axes);
        return joined;
    }
}
