using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>The pass that is running: how many rows and tokens its tensors have.</summary>
internal sealed class PassShape
{
    /// <summary>Rows of the batch; -1 for a model that is not batched.</summary>
    public long Rows { get; set; } = -1;

    /// <summary>True in the pass over the prompts, whose token dimension holds the padding too.</summary>
    public bool HoldsPrompts { get; set; } = true;

    /// <summary>Tokens of each row in this pass, padding included.</summary>
    public long Tokens { get; set; }
}

/// <summary>
/// An invoke's part of the batch: its rows, and of those the columns that it would have alone. What it reads and writes goes
/// through here, so that an experiment sees the same shapes and numbers whatever runs beside it.
/// </summary>
/// <param name="Start">First row.</param>
/// <param name="Count">Number of rows.</param>
/// <param name="Pad">Columns of padding on the left that are there only because of longer prompts of others.</param>
internal sealed record RowView(PassShape Pass, long Start, long Count, long Pad)
{
    /// <summary>Everything, of a model that is not batched.</summary>
    public static RowView Whole() => new(new PassShape(), 0, -1, 0);

    public long Start { get; set; } = Start;

    public long Pad { get; set; } = Pad;

    /// <summary>True if nobody else has a part in the batch, nor more columns.</summary>
    public bool CoversAll => Pass.Rows < 0 || (Count == Pass.Rows && Pad == 0);

    /// <summary>
    /// True if others' padding stands between the rows, where rows and tokens are one dimension: what this view sees there is no view of
    /// the model's memory but a copy, which has to be put back.
    /// </summary>
    public bool IsApart => !CoversAll && Count > 1 && Pad > 0 && Pass.HoldsPrompts;

    /// <summary>True if a row is in both.</summary>
    public bool Overlaps(RowView other) => Pass.Rows < 0 || (Start < other.Start + other.Count && other.Start < Start + Count);

    /// <summary>This view's part of a site's value, as new handles on the same memory: editing it in place edits the model's.</summary>
    public object? Narrow(object? value, Func<int, Axes> axes, int element = 0) => value switch
    {
        torch.Tensor tensor => Narrow(tensor, axes(element)),
        object?[] tuple => tuple.Select((item, i) => Narrow(item, item is object?[] ? axes : _ => axes(i), i)).ToArray(),
        ModelOutput output => output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key, Narrow(entry.Value, axes, i))).ToDictionary(),
        null or bool or long or double or string => value,
        int number => (long)number,
        _ => new Opaque(value),
    };

    /// <summary>
    /// The site's value with this view's part replaced; the rest as it was. Numbers, flags and what cannot be looked into belong
    /// to all rows of a batch, and stay. The result belongs to the current dispose scope.
    /// </summary>
    public object? Splice(object? whole, object? part, Func<int, Axes> axes, string site, int element = 0)
    {
        switch (whole, part)
        {
            case (_, Keep):
                return whole;
            case (torch.Tensor tensor, torch.Tensor replacement):
                return Splice(tensor, replacement, axes(element), site);
            case (torch.Tensor tensor, long or double or bool):
                using (torch.Tensor own = Narrow(tensor, axes(element)))
                    return Splice(tensor, torch.full_like(own, Scalar(part!)), axes(element), site);
            case (object?[] tuple, torch.Tensor or long or double or bool):
                return Tuple(tuple, [part, .. tuple[1..].Select(_ => Keep.Instance)], axes, site);
            case (object?[] tuple, IReadOnlyList<object?> parts) when parts.Count == tuple.Length:
                return Tuple(tuple, parts, axes, site);
            case (object?[] tuple, IReadOnlyList<object?> parts):
                throw Errors.Throwable(ErrorCode.ShapeMismatch, $"`{site}` is a tuple of {tuple.Length}; it was assigned {parts.Count} values.");
            case (ModelOutput output, torch.Tensor or long or double or bool) when output.Entries.FirstOrDefault(e => e.Value is torch.Tensor).Key is { } name:
                return Output(output, new Dictionary<string, object?> { [name] = part }, axes, site);
            case (ModelOutput output, IReadOnlyDictionary<string, object?> entries):
                return Output(output, entries, axes, site);
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Equals(Narrow(whole, axes), part):
                return whole;
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Pass.Rows < 0:
                return part is Opaque opaque ? opaque.Content : Ownership.Second(part);
            default:
                throw Errors.Throwable(ErrorCode.BadArgument, $"`{site}` is {Kind(whole)}; it cannot be replaced by {Kind(part)}.",
                    whole is torch.Tensor or object?[] or ModelOutput ? "Assign a tensor of the same shape." : "All rows of the pass share it; only tensors can be replaced.");
        }
    }

    /// <summary>True if a tensor has this view's rows and tokens where the axes say.</summary>
    public bool Fits(torch.Tensor tensor, Axes axes)
    {
        if (!axes.IsKnown) return CoversAll ? true : throw Unknown();
        if (axes.IsFlat) return Pass.Rows < 0 || Is(axes.Rows, Count * (Pass.HoldsPrompts ? Pass.Tokens - Pad : Pass.Tokens));
        return Pass.Rows < 0 || Is(axes.Rows, Count) && Is(axes.Tokens, Pass.HoldsPrompts ? Pass.Tokens - Pad : Pass.Tokens) && tensor.ndim > axes.Keys;

        bool Is(int dimension, long size) => dimension == Axes.None || (dimension < tensor.ndim && tensor.size(dimension) == size);
    }

    /// <summary>The shape of a site of the whole batch, by a tensor of this view's part.</summary>
    public long[] Whole(torch.Tensor part, Axes axes)
    {
        long[] shape = part.shape;
        shape[axes.Rows] = axes.IsFlat ? Pass.Rows * Pass.Tokens : Pass.Rows;
        if (axes.IsFlat) return shape;
        if (axes.Tokens != Axes.None && Pass.HoldsPrompts) shape[axes.Tokens] += Pad;
        if (axes.Keys != Axes.None) shape[axes.Keys] += Pad;
        return shape;
    }

    private object?[] Tuple(object?[] tuple, IReadOnlyList<object?> parts, Func<int, Axes> axes, string site) =>
        [.. tuple.Select((item, i) => Splice(item, parts[i], _ => axes(i), site, i))];

    private ModelOutput Output(ModelOutput output, IReadOnlyDictionary<string, object?> entries, Func<int, Axes> axes, string site)
    {
        if (entries.Keys.FirstOrDefault(key => output.Entries.All(e => e.Key != key)) is { } unknown)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{site}` has no `{unknown}`; it has {string.Join(", ", output.Entries.Select(e => e.Key))}.");
        return new ModelOutput([.. output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key,
            entries.TryGetValue(entry.Key, out object? value) ? Splice(entry.Value, value, axes, site, i) : entry.Value))]);
    }

    private torch.Tensor Narrow(torch.Tensor tensor, Axes axes)
    {
        if (CoversAll) return tensor.alias();
        if (axes.Rows == Axes.None) return tensor.clone(); // all rows share it: an edit must not reach the others
        if (!axes.IsKnown) throw Unknown();
        if (axes.IsFlat) return NarrowFlat(tensor, axes.Rows);
        Check(tensor, axes);
        torch.Tensor part = tensor.narrow(axes.Rows, Start, Count);
        part = Cut(part, Pass.HoldsPrompts ? axes.Tokens : Axes.None);
        return Cut(part, axes.Keys);
    }

    /// <summary>Rows and tokens in one dimension; as a view, but for rows with padding between them (<see cref="IsApart"/>).</summary>
    private torch.Tensor NarrowFlat(torch.Tensor tensor, int dimension)
    {
        CheckFlat(tensor, dimension);
        if (!IsApart)
        {
            long pad = Pass.HoldsPrompts ? Pad : 0; // of one row only
            return tensor.narrow(dimension, Start * Pass.Tokens + pad, Count * Pass.Tokens - pad);
        }
        using torch.Tensor apart = Apart(tensor, dimension);                        // [..., rows, tokens, ...]
        return apart.flatten(dimension, dimension + 1);
    }

    /// <summary>The view's rows and tokens of a flat dimension as two, a view.</summary>
    private torch.Tensor Apart(torch.Tensor tensor, int dimension)
    {
        long pad = Pass.HoldsPrompts ? Pad : 0;
        using torch.Tensor split = tensor.unflatten(dimension, Pass.Rows, Pass.Tokens);
        using torch.Tensor rows = split.narrow(dimension, Start, Count);
        return rows.narrow(dimension + 1, pad, Pass.Tokens - pad);
    }

    /// <summary>Writes this view's part into a value of the whole batch.</summary>
    public void Put(torch.Tensor whole, torch.Tensor part, Axes axes)
    {
        if (axes.IsFlat && IsApart)
        {
            CheckFlat(whole, axes.Rows);
            using torch.Tensor apart = Apart(whole, axes.Rows);
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
    public bool PutBack(object? whole, object? part, Func<int, Axes> axes, int element = 0)
    {
        bool any = false;
        if (whole is torch.Tensor tensor && part is torch.Tensor copy && axes(element).IsFlat)
        {
            using torch.Tensor now = Narrow(tensor, axes(element));
            if (any = !now.Equals(copy)) Put(tensor, copy, axes(element));
        }
        else if (whole is object?[] tuple && part is IReadOnlyList<object?> parts)
        {
            for (int i = 0; i < tuple.Length; i++)
            {
                int at = i;
                any |= PutBack(tuple[i], parts[i], tuple[i] is object?[] ? axes : _ => axes(at), i);
            }
        }
        return any;
    }

    private void CheckFlat(torch.Tensor tensor, int dimension)
    {
        if (dimension >= tensor.ndim || tensor.size(dimension) != Pass.Rows * Pass.Tokens)
            throw Errors.Throwable(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Pass.Rows} rows of {Pass.Tokens} tokens in dimension {dimension}, so its rows cannot be told apart.");
    }

    private torch.Tensor Cut(torch.Tensor part, int dimension)
    {
        if (Pad == 0 || dimension == Axes.None || dimension >= part.ndim) return part;
        using (part) return part.narrow(dimension, Pad, part.size(dimension) - Pad);
    }

    private torch.Tensor Splice(torch.Tensor whole, torch.Tensor part, Axes axes, string site)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor fitted = Pass.Rows < 0 ? part.alias() : part.to(whole.dtype, whole.device);
        if (Pass.Rows < 0) return fitted.MoveToOuterDisposeScope();
        if (axes.Rows == Axes.None)
            throw Errors.Throwable(ErrorCode.BadArgument, $"`{site}` is shared by all rows of the pass; it can be read, not replaced.");
        torch.Tensor result = CoversAll ? whole : whole.clone();
        torch.Tensor target = Narrow(result, axes);
        // alone as in company: what changed the shape of the whole could not share a pass
        if (!target.shape.SequenceEqual(fitted.shape))
            throw Errors.Throwable(ErrorCode.ShapeMismatch,
                $"`{site}` has the shape [{string.Join(", ", target.shape)}] here; it cannot be replaced by [{string.Join(", ", fitted.shape)}].",
                "A replacement must have the site's own shape.");
        if (CoversAll) return (ReferenceEquals(fitted, part) ? part.alias() : fitted).MoveToOuterDisposeScope();
        Put(result, fitted, axes);
        return result.MoveToOuterDisposeScope();
    }

    private static Exception Unknown() => Errors.Throwable(ErrorCode.Unsupported,
        "Nothing says which dimension of this operation's value runs over the rows, so this invoke's part cannot be cut out of the batch.",
        "Use the operation in a trace of one prompt or one list of prompts, or an operation whose shape is known (Source[...].Shape).");

    private void Check(torch.Tensor tensor, Axes axes)
    {
        if (Pad > 0 && Pass.HoldsPrompts && axes.Tokens != Axes.None && (axes.Tokens >= tensor.ndim || tensor.size(axes.Tokens) != Pass.Tokens))
            throw Errors.Throwable(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the pass's {Pass.Tokens} tokens in dimension {axes.Tokens}, so its padding cannot be told apart.");
        if (axes.Rows >= tensor.ndim || tensor.size(axes.Rows) != Pass.Rows)
            throw Errors.Throwable(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Pass.Rows} rows in dimension {axes.Rows}, so its rows cannot be told apart.");
    }

    private static Scalar Scalar(object number) => number switch
    {
        long integer => integer,
        double real => real,
        bool flag => flag,
        _ => throw new ArgumentException("Not a number."),
    };

    internal static string Kind(object? value) => value switch
    {
        null => "None",
        torch.Tensor tensor => $"a tensor of shape [{string.Join(", ", tensor.shape)}]",
        object?[] tuple => $"a tuple of {tuple.Length}",
        IReadOnlyDictionary<string, object?> or ModelOutput => "a dictionary",
        IReadOnlyList<object?> list => $"a list of {list.Count}",
        string => "a text",
        _ => "a number",
    };

    private sealed class Keep
    {
        public static readonly Keep Instance = new();
    }
}

/// <summary>Something of the model that a program can pass on but not look into, such as a cache.</summary>
internal sealed record Opaque(object Content)
{
    public override string ToString() => $"<{Content.GetType().Name}>";
}
