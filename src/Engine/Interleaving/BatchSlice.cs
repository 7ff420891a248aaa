using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The pass that is running: how many rows and tokens its tensors have.</summary>
internal sealed class BatchShape
{
    /// <summary>Rows of the batch; -1 for a model that is not batched.</summary>
    public long BatchSize { get; set; } = -1;

    /// <summary>True in the pass over the prompts, whose token dimension holds the padding too.</summary>
    public bool IsPrefill { get; set; } = true;

    /// <summary>Tokens of each row in this pass, padding included.</summary>
    public long SequenceLength { get; set; }
}

/// <summary>
/// An invoke's part of the batch: its rows, and of those the columns that it would have alone. What it reads and writes goes
/// through here, so that an experiment sees the same shapes and numbers whatever runs beside it.
/// </summary>
/// <param name="Start">First row.</param>
/// <param name="Count">Number of rows.</param>
/// <param name="LeftPadding">Columns of padding on the left that are there only because of longer prompts of others.</param>
internal sealed record BatchSlice(BatchShape Batch, long Start, long Count, long LeftPadding)
{
    /// <summary>Everything, of a model that is not batched.</summary>
    public static BatchSlice Whole() => new(new BatchShape(), 0, -1, 0);

    public long Start { get; set; } = Start;

    public long LeftPadding { get; set; } = LeftPadding;

    /// <summary>True if nobody else has a part in the batch, nor more columns.</summary>
    public bool CoversBatch => Batch.BatchSize < 0 || (Count == Batch.BatchSize && LeftPadding == 0);

    /// <summary>
    /// True if others' padding stands between the rows, where rows and tokens are one dimension: what this view sees there is no view of
    /// the model's memory but a copy, which has to be put back.
    /// </summary>
    public bool HasInteriorPadding => !CoversBatch && Count > 1 && LeftPadding > 0 && Batch.IsPrefill;

    /// <summary>True if a row is in both.</summary>
    public bool Overlaps(BatchSlice other) => Batch.BatchSize < 0 || (Start < other.Start + other.Count && other.Start < Start + Count);

    /// <summary>This view's part of a site's value, as new handles on the same memory: editing it in place edits the model's.</summary>
    public object? Narrow(object? value, Func<int, Axes> axes, int element = 0) => value switch
    {
        torch.Tensor tensor => Narrow(tensor, axes(element)),
        object?[] tuple => tuple.Select((item, i) => Narrow(item, item is object?[] ? axes : _ => axes(i), i)).ToArray(),
        ModelOutput output => output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key, Narrow(entry.Value, axes, i))).ToDictionary(),
        null or bool or long or double or string => value,
        int number => (long)number,
        _ => new OpaqueValue(value),
    };

    /// <summary>
    /// The site's value with this view's part replaced; the rest as it was. Numbers, flags and what cannot be looked into belong
    /// to all rows of a batch, and stay. The result belongs to the current dispose scope.
    /// </summary>
    public object? Splice(object? whole, object? part, Func<int, Axes> axes, string site, int element = 0)
    {
        switch (whole, part)
        {
            case (_, Unchanged):
                return whole;
            case (torch.Tensor tensor, torch.Tensor replacement):
                return Splice(tensor, replacement, axes(element), site);
            case (torch.Tensor tensor, long or double or bool):
                using (torch.Tensor own = Narrow(tensor, axes(element)))
                    return Splice(tensor, torch.full_like(own, Scalar(part!)), axes(element), site);
            case (object?[] tuple, torch.Tensor or long or double or bool):
                return SpliceTuple(tuple, [part, .. tuple[1..].Select(_ => Unchanged.Instance)], axes, site);
            case (object?[] tuple, IReadOnlyList<object?> parts) when parts.Count == tuple.Length:
                return SpliceTuple(tuple, parts, axes, site);
            case (object?[] tuple, IReadOnlyList<object?> parts):
                throw Errors.CreateException(ErrorCode.ShapeMismatch, $"`{site}` is a tuple of {tuple.Length}; it was assigned {parts.Count} values.");
            case (ModelOutput output, torch.Tensor or long or double or bool) when output.Entries.FirstOrDefault(e => e.Value is torch.Tensor).Key is { } name:
                return SpliceOutput(output, new Dictionary<string, object?> { [name] = part }, axes, site);
            case (ModelOutput output, IReadOnlyDictionary<string, object?> entries):
                return SpliceOutput(output, entries, axes, site);
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Equals(Narrow(whole, axes), part):
                return whole;
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Batch.BatchSize < 0:
                return part is OpaqueValue opaque ? opaque.Content : TensorOwnership.Alias(part);
            default:
                throw Errors.CreateException(ErrorCode.BadArgument, $"`{site}` is {DescribeKind(whole)}; it cannot be replaced by {DescribeKind(part)}.",
                    whole is torch.Tensor or object?[] or ModelOutput ? "Assign a tensor of the same shape." : "All rows of the pass share it; only tensors can be replaced.");
        }
    }

    /// <summary>True if a tensor has this view's rows and tokens where the axes say.</summary>
    public bool Fits(torch.Tensor tensor, Axes axes)
    {
        if (!axes.IsKnown) return CoversBatch ? true : throw UnknownBatchDimension();
        if (axes.IsFlat) return Batch.BatchSize < 0 || Is(axes.Batch, Count * (Batch.IsPrefill ? Batch.SequenceLength - LeftPadding : Batch.SequenceLength));
        return Batch.BatchSize < 0 || Is(axes.Batch, Count) && Is(axes.Seq, Batch.IsPrefill ? Batch.SequenceLength - LeftPadding : Batch.SequenceLength) && tensor.ndim > axes.KvSeq;

        bool Is(int dimension, long size) => dimension == Axes.None || (dimension < tensor.ndim && tensor.size(dimension) == size);
    }

    /// <summary>The shape of a site of the whole batch, by a tensor of this view's part.</summary>
    public long[] Whole(torch.Tensor part, Axes axes)
    {
        long[] shape = part.shape;
        shape[axes.Batch] = axes.IsFlat ? Batch.BatchSize * Batch.SequenceLength : Batch.BatchSize;
        if (axes.IsFlat) return shape;
        if (axes.Seq != Axes.None && Batch.IsPrefill) shape[axes.Seq] += LeftPadding;
        if (axes.KvSeq != Axes.None) shape[axes.KvSeq] += LeftPadding;
        return shape;
    }

    private object?[] SpliceTuple(object?[] tuple, IReadOnlyList<object?> parts, Func<int, Axes> axes, string site) =>
        [.. tuple.Select((item, i) => Splice(item, parts[i], _ => axes(i), site, i))];

    private ModelOutput SpliceOutput(ModelOutput output, IReadOnlyDictionary<string, object?> entries, Func<int, Axes> axes, string site)
    {
        if (entries.Keys.FirstOrDefault(key => output.Entries.All(e => e.Key != key)) is { } unknown)
            throw Errors.CreateException(ErrorCode.BadArgument, $"`{site}` has no `{unknown}`; it has {string.Join(", ", output.Entries.Select(e => e.Key))}.");
        return new ModelOutput([.. output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key,
            entries.TryGetValue(entry.Key, out object? value) ? Splice(entry.Value, value, axes, site, i) : entry.Value))]);
    }

    private torch.Tensor Narrow(torch.Tensor tensor, Axes axes)
    {
        if (CoversBatch) return tensor.alias();
        if (axes.Batch == Axes.None) return tensor.clone(); // all rows share it: an edit must not reach the others
        if (!axes.IsKnown) throw UnknownBatchDimension();
        if (axes.IsFlat) return NarrowFlattened(tensor, axes.Batch);
        CheckShape(tensor, axes);
        torch.Tensor part = tensor.narrow(axes.Batch, Start, Count);
        part = TrimPadding(part, Batch.IsPrefill ? axes.Seq : Axes.None);
        return TrimPadding(part, axes.KvSeq);
    }

    /// <summary>Rows and tokens in one dimension; as a view, but for rows with padding between them (<see cref="HasInteriorPadding"/>).</summary>
    private torch.Tensor NarrowFlattened(torch.Tensor tensor, int dimension)
    {
        CheckFlattenedShape(tensor, dimension);
        if (!HasInteriorPadding)
        {
            long pad = Batch.IsPrefill ? LeftPadding : 0; // of one row only
            return tensor.narrow(dimension, Start * Batch.SequenceLength + pad, Count * Batch.SequenceLength - pad);
        }
        using torch.Tensor apart = UnflattenRows(tensor, dimension);                        // [..., batch, seq, ...]
        return apart.flatten(dimension, dimension + 1);
    }

    /// <summary>The view's rows and tokens of a flat dimension as two, a view.</summary>
    private torch.Tensor UnflattenRows(torch.Tensor tensor, int dimension)
    {
        long pad = Batch.IsPrefill ? LeftPadding : 0;
        using torch.Tensor split = tensor.unflatten(dimension, Batch.BatchSize, Batch.SequenceLength);
        using torch.Tensor rows = split.narrow(dimension, Start, Count);
        return rows.narrow(dimension + 1, pad, Batch.SequenceLength - pad);
    }

    /// <summary>Writes this view's part into a value of the whole batch.</summary>
    public void CopyInto(torch.Tensor whole, torch.Tensor part, Axes axes)
    {
        if (axes.IsFlat && HasInteriorPadding)
        {
            CheckFlattenedShape(whole, axes.Batch);
            using torch.Tensor apart = UnflattenRows(whole, axes.Batch);
            using torch.Tensor fitted = part.reshape(apart.shape);
            apart.copy_(fitted);
            return;
        }
        using torch.Tensor target = Narrow(whole, axes);
        target.copy_(part);
    }

    /// <summary>
    /// Writes what was edited in a copy of this view's part into the value's own memory, as an edit of a view would: what else holds the
    /// same memory sees it too.
    /// </summary>
    /// <returns>True if something was edited.</returns>
    public bool WriteBack(object? whole, object? part, Func<int, Axes> axes, int element = 0)
    {
        bool any = false;
        if (whole is torch.Tensor tensor && part is torch.Tensor copy && axes(element).IsFlat)
        {
            using torch.Tensor now = Narrow(tensor, axes(element));
            if (any = !now.Equals(copy)) CopyInto(tensor, copy, axes(element));
        }
        else if (whole is object?[] tuple && part is IReadOnlyList<object?> parts)
        {
            for (int i = 0; i < tuple.Length; i++)
            {
                int at = i;
                any |= WriteBack(tuple[i], parts[i], tuple[i] is object?[] ? axes : _ => axes(at), i);
            }
        }
        return any;
    }

    private void CheckFlattenedShape(torch.Tensor tensor, int dimension)
    {
        if (dimension >= tensor.ndim || tensor.size(dimension) != Batch.BatchSize * Batch.SequenceLength)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Batch.BatchSize} rows of {Batch.SequenceLength} tokens in dimension {dimension}, so its rows cannot be told apart.");
    }

    private torch.Tensor TrimPadding(torch.Tensor part, int dimension)
    {
        if (LeftPadding == 0 || dimension == Axes.None || dimension >= part.ndim) return part;
        using (part) return part.narrow(dimension, LeftPadding, part.size(dimension) - LeftPadding);
    }

    private torch.Tensor Splice(torch.Tensor whole, torch.Tensor part, Axes axes, string site)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor fitted = Batch.BatchSize < 0 ? part.alias() : part.to(whole.dtype, whole.device);
        if (Batch.BatchSize < 0) return fitted.MoveToOuterDisposeScope();
        if (axes.Batch == Axes.None)
            throw Errors.CreateException(ErrorCode.BadArgument, $"`{site}` is shared by all rows of the pass; it can be read, not replaced.");
        torch.Tensor result = CoversBatch ? whole : whole.clone();
        torch.Tensor target = Narrow(result, axes);
        // alone as in company: what changed the shape of the whole could not share a pass
        if (!target.shape.SequenceEqual(fitted.shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"`{site}` has the shape [{string.Join(", ", target.shape)}] here; it cannot be replaced by [{string.Join(", ", fitted.shape)}].",
                "A replacement must have the site's own shape.");
        if (CoversBatch) return (ReferenceEquals(fitted, part) ? part.alias() : fitted).MoveToOuterDisposeScope();
        CopyInto(result, fitted, axes);
        return result.MoveToOuterDisposeScope();
    }

    private static Exception UnknownBatchDimension() => Errors.CreateException(ErrorCode.Unsupported,
        "Nothing says which dimension of this operation's value runs over the rows, so this invoke's part cannot be cut out of the batch.",
        "Use the operation in a trace of one prompt or one list of prompts, or an operation whose shape is known (Source[...].Shape).");

    private void CheckShape(torch.Tensor tensor, Axes axes)
    {
        if (LeftPadding > 0 && Batch.IsPrefill && axes.Seq != Axes.None && (axes.Seq >= tensor.ndim || tensor.size(axes.Seq) != Batch.SequenceLength))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the pass's {Batch.SequenceLength} tokens in dimension {axes.Seq}, so its padding cannot be told apart.");
        if (axes.Batch >= tensor.ndim || tensor.size(axes.Batch) != Batch.BatchSize)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Batch.BatchSize} rows in dimension {axes.Batch}, so its rows cannot be told apart.");
    }

    private static Scalar Scalar(object number) => number switch
    {
        long integer => integer,
        double real => real,
        bool flag => flag,
        _ => throw new ArgumentException("Not a number."),
    };

    internal static string DescribeKind(object? value) => value switch
    {
        null => "None",
        torch.Tensor tensor => $"a tensor of shape [{string.Join(", ", tensor.shape)}]",
        object?[] tuple => $"a tuple of {tuple.Length}",
        IReadOnlyDictionary<string, object?> or ModelOutput => "a dictionary",
        IReadOnlyList<object?> list => $"a list of {list.Count}",
        string => "a text",
        _ => "a number",
    };

    private sealed class Unchanged
    {
        public static readonly Unchanged Instance = new();
    }
}

/// <summary>Something of the model that a program can pass on but not look into, such as a cache.</summary>
internal sealed record OpaqueValue(object Content)
{
    public override string ToString() => $"<{Content.GetType().Name}>";
}
