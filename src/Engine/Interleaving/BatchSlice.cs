using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The rows of an invoke in the batch, without the padding that only longer prompts of others require. Every read and write of an invoke
/// goes through this class, so an experiment has the same shapes and values whatever else is in the batch.
/// <code>
///   batch    . . . a b c        slice of row 0: [1, 3], Padding 3
///            d e f g h i        slice of row 1: [1, 6], Padding 0
/// </code>
/// The padding is on the right where <see cref="BatchShape.PadsRight"/> says so.
/// </summary>
/// <param name="Start">The first row.</param>
/// <param name="Count">The number of rows; -1 for all rows of a model that is not batched.</param>
/// <param name="Padding">The padding tokens of each row that are required only by longer prompts of others.</param>
internal sealed partial record BatchSlice(BatchShape Batch, long Start, long Count, long Padding)
{
    /// <summary>The whole value, for a model that is not batched.</summary>
    public static BatchSlice Whole() => new(new BatchShape(), 0, -1, 0);

    /// <summary>The pass that the rows take part in.</summary>
    public BatchShape Batch { get; set; } = Batch;

    public long Start { get; set; } = Start;

    public long Count { get; set; } = Count;

    public long Padding { get; set; } = Padding;

    /// <summary>In an encoder-decoder: the encoder's tokens of the longest row of the slice.</summary>
    public long EncoderLength { get; set; }

    /// <summary>The padding of the encoder's tokens that is required only by longer prompts of others.</summary>
    private long EncoderPadding => Batch.EncoderLength - EncoderLength;

    /// <summary>The first column that is not padding of others, of which there are this many.</summary>
    public long FirstOf(long padding) => Batch.PadsRight ? 0 : padding;

    /// <summary>Whether the slice is the whole batch, without padding.</summary>
    public bool CoversBatch => Batch.BatchSize < 0 || (Count == Batch.BatchSize && Padding == 0 && EncoderPadding == 0);

    /// <summary>
    /// Whether the padding of others is between the rows of a value whose batch and tokens are one dimension. A read then returns a
    /// copy instead of a view of the model's memory, and edits of it have to be written back.
    /// </summary>
    public bool HasInteriorPadding => !CoversBatch && Count > 1 && Padding > 0 && Batch.IsPrefill;

    /// <summary>The rows of the batch; none for a model that is not batched.</summary>
    public IEnumerable<long> Rows
    {
        get
        {
            if (Batch.BatchSize < 0) yield break;
            for (long row = Start; row < Start + Count; row++) yield return row;
        }
    }

    /// <summary>
    /// Returns the slice of a site's value as new handles of the same memory: an in-place edit edits the model's value.
    /// </summary>
    public object? Narrow(object? value, Func<int, Axes> axes, int element = 0) => value switch
    {
        torch.Tensor tensor => Narrow(tensor, axes(element)),
        object?[] tuple => tuple.Select((item, i) => Narrow(item, item is object?[] ? axes : _ => axes(i), i)).ToArray(),
        ModelOutput output => output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key, Narrow(entry.Value, axes, i)))
            .ToDictionary(),
        null or bool or long or double or string => value,
        int number => (long)number,
        _ => new OpaqueValue(value),
    };

    /// <summary>
    /// Returns the site's value with the slice replaced. Numbers, bools and opaque objects belong to all rows and are not replaced. The
    /// result belongs to the current dispose scope.
    /// </summary>
    /// <param name="copies">
    /// Tensors that are written in place, because they are copies that nothing has read yet; new copies are added. Null: none are.
    /// </param>
    public object? Splice(object? whole, object? part, Func<int, Axes> axes, string site, HashSet<torch.Tensor>? copies = null,
        int element = 0)
    {
        switch (whole, part)
        {
            case (_, Unchanged):
                return whole;
            case (torch.Tensor tensor, torch.Tensor replacement):
                return Splice(tensor, replacement, axes(element), site, copies);
            case (torch.Tensor tensor, long or double or bool):
                ElementCategories.CheckNumber(tensor.dtype, part!, site);
                using (torch.Tensor slice = Narrow(tensor, axes(element)))
                    return Splice(tensor, torch.full_like(slice, Numbers.ToScalar(part!)), axes(element), site, copies);
            case (object?[] tuple, torch.Tensor or long or double or bool):
                return SpliceTuple(tuple, [part, .. tuple[1..].Select(_ => Unchanged.Instance)], axes, site, copies);
            case (object?[] tuple, IReadOnlyList<object?> parts) when parts.Count == tuple.Length:
                return SpliceTuple(tuple, parts, axes, site, copies);
            case (object?[] tuple, IReadOnlyList<object?> parts):
                throw Errors.CreateException(ErrorCode.ShapeMismatch,
                    $"`{site}` is a tuple of {tuple.Length}; it was assigned {parts.Count} values.",
                    "To replace the tensor in it, assign to Hidden; to replace all, assign a tuple of as many values.");
            case (ModelOutput output, torch.Tensor or long or double
                or bool) when output.Entries.FirstOrDefault(e => e.Value is torch.Tensor).Key is { } name:
                return SpliceOutput(output, new Dictionary<string, object?> { [name] = part }, axes, site, copies);
            case (ModelOutput output, IReadOnlyDictionary<string, object?> entries):
                return SpliceOutput(output, entries, axes, site, copies);
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Equals(Narrow(whole, axes), part):
                return whole;
            case (not (torch.Tensor or object?[] or ModelOutput), _) when Batch.BatchSize < 0:
                return part is OpaqueValue opaque ? opaque.Content : TensorOwnership.Alias(part);
            default:
                throw Errors.CreateException(ErrorCode.BadArgument,
                    $"`{site}` is {Describe.SiteValue(whole)}; it cannot be replaced by {Describe.SiteValue(part)}.",
                    whole is torch.Tensor or object?[] or ModelOutput ? "Assign a tensor of the same shape."
                    : "All rows of the pass share it; only tensors can be replaced.");
        }
    }

    /// <summary>Whether a tensor has the rows and tokens of the slice in the dimensions of <paramref name="axes"/>.</summary>
    public bool Fits(torch.Tensor tensor, Axes axes)
    {
        if (!axes.IsKnown) return CoversBatch ? true : throw UnknownBatchDimension();
        if (Batch.BatchSize < 0) return true;
        if (axes.IsRouted) return tensor.ndim > 0 && tensor.size(0) == CurrentExpertCall.PositionsOf(this).Length;
        long tokens = axes.IsSeqOfEncoder ? EncoderLength : Batch.IsPrefill ? Batch.SequenceLength - Padding : Batch.SequenceLength;
        return axes.IsFlat ? HasSize(axes.Batch, Count * tokens)
            : HasSize(axes.Batch, Count) && HasSize(axes.Seq, tokens) && tensor.ndim > axes.KvSeq;

        bool HasSize(int dimension, long size) => dimension == Axes.None || (dimension < tensor.ndim && tensor.size(dimension) == size);
    }

    /// <summary>The shape of the whole batch's value, given the tensor of the slice.</summary>
    public long[] WholeShape(torch.Tensor part, Axes axes)
    {
        long[] shape = part.shape;
        if (axes.IsRouted)
        {
            shape[0] = CurrentExpertCall.Count;
            return shape;
        }
        shape[axes.Batch] = axes.IsFlat ? Batch.BatchSize * Batch.SequenceLength : Batch.BatchSize;
        if (axes.IsFlat) return shape;
        if (axes.Seq != Axes.None) shape[axes.Seq] += SeqPadding(axes);
        if (axes.KvSeq != Axes.None) shape[axes.KvSeq] += axes.IsKvSeqOfEncoder ? EncoderPadding : Padding;
        return shape;
    }

    private object?[] SpliceTuple(object?[] tuple, IReadOnlyList<object?> parts, Func<int, Axes> axes, string site,
        HashSet<torch.Tensor>? copies) => [.. tuple.Select((item, i) => Splice(item, parts[i], _ => axes(i), site, copies, i))];

    private ModelOutput SpliceOutput(ModelOutput output, IReadOnlyDictionary<string, object?> entries, Func<int, Axes> axes, string site,
        HashSet<torch.Tensor>? copies)
    {
        if (entries.Keys.FirstOrDefault(key => output.Entries.All(e => e.Key != key)) is { } unknown)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{site}` has no `{unknown}`; it has {string.Join(", ", output.Entries.Select(e => e.Key))}.");
        return new ModelOutput([.. output.Entries.Select((entry, i) => KeyValuePair.Create(entry.Key,
            entries.TryGetValue(entry.Key, out object? value) ? Splice(entry.Value, value, axes, site, copies, i) : entry.Value))]);
    }

    private torch.Tensor Narrow(torch.Tensor tensor, Axes axes)
    {
        if (axes.IsRouted && Batch.BatchSize >= 0) return NarrowRouted(tensor, axes);
        if (CoversBatch) return tensor.alias();
        if (axes.Batch == Axes.None) return Trim(tensor.clone(), tensor, axes); // of all rows: an edit must not reach the others
        if (!axes.IsKnown) throw UnknownBatchDimension();
        if (axes.IsFlat) return NarrowFlattened(tensor, axes.Batch);
        CheckShape(tensor, axes);
        return Trim(tensor.narrow(axes.Batch, Start, Count), tensor, axes);
    }

    /// <summary>Removes the padding from the slice of a value, [count, seq with padding, ...], which is disposed.</summary>
    private torch.Tensor Trim(torch.Tensor part, torch.Tensor whole, Axes axes)
    {
        if (!IsOfLastToken(whole, axes)) part = TrimPadding(part, axes.Seq, axes.IsSeqOfEncoder, SeqPadding(axes));
        return TrimPadding(part, axes.KvSeq, axes.IsKvSeqOfEncoder, axes.IsKvSeqOfEncoder ? EncoderPadding : Padding);
    }

    /// <summary>The padding in the dimension of this pass's tokens.</summary>
    private long SeqPadding(Axes axes) => axes.IsSeqOfEncoder ? EncoderPadding : Batch.IsPrefill ? Padding : 0;

    /// <summary>
    /// The slice of a value whose batch and tokens are one dimension: a view, or a copy if there is padding between the rows
    /// (<see cref="HasInteriorPadding"/>).
    /// </summary>
    private torch.Tensor NarrowFlattened(torch.Tensor tensor, int dimension)
    {
        CheckFlattenedShape(tensor, dimension);
        if (!HasInteriorPadding)
        {
            long pad = Batch.IsPrefill ? Padding : 0; // of one row only, because more rows would have padding between them
            return tensor.narrow(dimension, Start * Batch.SequenceLength + FirstOf(pad), Count * Batch.SequenceLength - pad);
        }
        using torch.Tensor rows = UnflattenRows(tensor, dimension); // [..., batch, seq, ...]
        return rows.flatten(dimension, dimension + 1);
    }

    /// <summary>The rows and tokens of the slice as two dimensions: a view.</summary>
    private torch.Tensor UnflattenRows(torch.Tensor tensor, int dimension)
    {
        long pad = Batch.IsPrefill ? Padding : 0;
        using torch.Tensor split = tensor.unflatten(dimension, Batch.BatchSize, Batch.SequenceLength); // [..., batch, seq, ...]
        using torch.Tensor rows = split.narrow(dimension, Start, Count);                                // [..., count, seq, ...]
        return rows.narrow(dimension + 1, FirstOf(pad), Batch.SequenceLength - pad);
    }

    /// <summary>Writes the slice into the value of the whole batch.</summary>
    public void CopyInto(torch.Tensor whole, torch.Tensor part, Axes axes)
    {
        if (axes.IsRouted && Batch.BatchSize >= 0)
        {
            CopyIntoRouted(whole, part);
            return;
        }
        if (axes.IsFlat && HasInteriorPadding)
        {
            CheckFlattenedShape(whole, axes.Batch);
            using torch.Tensor rows = UnflattenRows(whole, axes.Batch); // [..., count, seq, ...]
            using torch.Tensor values = part.reshape(rows.shape);       // [..., count, seq, ...]
            rows.copy_(values);
            return;
        }
        using torch.Tensor target = Narrow(whole, axes); // the shape of the slice
        target.copy_(part);
    }

    /// <summary>Copies the slice from one value to another one of the same structure, where their tensors are not the same.</summary>
    public void Copy(object? from, object? to, Func<int, Axes> axes, int element = 0)
    {
        if (ReferenceEquals(from, to)) return;
        switch (from, to)
        {
            case (torch.Tensor source, torch.Tensor target):
                if (axes(element).Batch == Axes.None || axes(element).IsRoutedIndex) return;
                using (torch.Tensor part = Narrow(source, axes(element))) CopyInto(target, part, axes(element));
                break;
            case (object?[] sources, object?[] targets):
                for (int i = 0; i < sources.Length; i++)
                {
                    int index = i;
                    Copy(sources[i], targets[i], sources[i] is object?[] ? axes : _ => axes(index), i);
                }
                break;
            case (ModelOutput source, ModelOutput target):
                for (int i = 0; i < source.Entries.Length; i++) Copy(source.Entries[i].Value, target.Entries[i].Value, axes, i);
                break;
        }
    }

    /// <summary>
    /// Writes an edited copy of the slice into the memory of the value, as an edit of a view would, so that other tensors over the same
    /// memory have the edit too.
    /// </summary>
    /// <returns>Whether the copy was edited.</returns>
    public bool WriteBack(object? whole, object? part, Func<int, Axes> axes, int element = 0)
    {
        bool isEdited = false;
        if (whole is torch.Tensor tensor && part is torch.Tensor copy && IsCopied(axes(element)))
        {
            if (tensor.device_type is DeviceType.META) return false; // a scan has no values
            using torch.Tensor current = Narrow(tensor, axes(element)); // the shape of the slice
            isEdited = !current.Equals(copy);
            if (isEdited && axes(element).IsRoutedIndex) throw TokensAreReadOnly("this expert");
            if (isEdited) CopyInto(tensor, copy, axes(element));
        }
        else if (whole is object?[] tuple && part is IReadOnlyList<object?> parts)
        {
            for (int i = 0; i < tuple.Length; i++)
            {
                int index = i;
                isEdited |= WriteBack(tuple[i], parts[i], tuple[i] is object?[] ? axes : _ => axes(index), i);
            }
        }
        return isEdited;
    }

    private void CheckFlattenedShape(torch.Tensor tensor, int dimension)
    {
        if (dimension >= tensor.ndim || tensor.size(dimension) != Batch.BatchSize * Batch.SequenceLength)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Batch.BatchSize} rows of "
                + $"{Batch.SequenceLength} tokens in dimension {dimension}, so its rows cannot be told apart.");
    }

    /// <param name="isOfEncoder">Whether the dimension is the encoder's tokens, which are padded on the right.</param>
    private torch.Tensor TrimPadding(torch.Tensor part, int dimension, bool isOfEncoder, long padding)
    {
        if (padding == 0 || dimension == Axes.None || dimension >= part.ndim) return part;
        using (part) return part.narrow(dimension, isOfEncoder ? 0 : FirstOf(padding), part.size(dimension) - padding);
    }

    private torch.Tensor Splice(torch.Tensor whole, torch.Tensor part, Axes axes, string site, HashSet<torch.Tensor>? copies)
    {
        using var scope = torch.NewDisposeScope();
        if (Batch.BatchSize < 0) return part.alias().MoveToOuterDisposeScope();
        if (axes.Batch == Axes.None)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"`{site}` is shared by all rows of the pass; it can be read, not replaced.");
        bool isInPlace = copies?.Contains(whole) == true, coversWhole = Covers(axes);
        torch.Tensor result = coversWhole || isInPlace ? whole : whole.clone(); // the shape of the site
        torch.Tensor target = Narrow(result, axes);                             // the shape of the slice
        // checked even if the slice covers the batch: a replacement of another shape could not share a pass
        if (!target.shape.SequenceEqual(part.shape))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"`{site}` has the shape [{string.Join(", ", target.shape)}] here; it "
                + $"cannot be replaced by [{string.Join(", ", part.shape)}].",
                "A replacement must have the site's own shape.");
        if (axes.IsRoutedIndex)
            return target.Equals(part) ? whole.alias().MoveToOuterDisposeScope() : throw TokensAreReadOnly(site);
        ElementCategories.Check(whole.dtype, part.dtype, site);
        torch.Tensor replacement = part.to(whole.dtype, whole.device); // the shape of the slice
        if (coversWhole) return (ReferenceEquals(replacement, part) ? part.alias() : replacement).MoveToOuterDisposeScope();
        CopyInto(result, replacement, axes);
        if (isInPlace) return result;
        copies?.Add(result);
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>Whether a value of the pass over the prompts has one token of each row, without padding.</summary>
    private bool IsOfLastToken(torch.Tensor tensor, Axes axes) =>
        Batch.HasLastLogitsOnly && axes.Seq != Axes.None && axes.Seq < tensor.ndim && tensor.size(axes.Seq) == 1;

    private static Exception UnknownBatchDimension() => Errors.CreateException(ErrorCode.Unsupported,
        "The batch dimension of this operation's value is unknown, so the rows of this invoke cannot be cut out of the batch.",
        "Use the operation in a trace of one prompt or one list of prompts, or an operation whose shape is known (Source[...].Shape).");

    private void CheckShape(torch.Tensor tensor, Axes axes)
    {
        long tokens = axes.IsSeqOfEncoder ? Batch.EncoderLength : Batch.SequenceLength;
        if (axes.Seq != Axes.None && SeqPadding(axes) > 0 && !IsOfLastToken(tensor, axes)
            && (axes.Seq >= tensor.ndim || tensor.size(axes.Seq) != tokens))
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the pass's {tokens} tokens in "
                + $"dimension {axes.Seq}, so its padding cannot be told apart.");
        if (axes.Batch >= tensor.ndim || tensor.size(axes.Batch) != Batch.BatchSize)
            throw Errors.CreateException(ErrorCode.ShapeMismatch,
                $"A value of shape [{string.Join(", ", tensor.shape)}] does not have the batch's {Batch.BatchSize} rows in dimension "
                + $"{axes.Batch}, so its rows cannot be told apart.");
    }

    private sealed class Unchanged
    {
        public static readonly Unchanged Instance = new();
    }
}
