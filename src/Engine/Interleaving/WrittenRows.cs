using Ndif.Engine.Running;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The value of a hook point in which writes replace the rows of invokes. The first write copies the value, and later ones write their
/// rows into this copy, so that the writes of n invokes cost one copy of the batch. Rows that no write has replaced are still read from
/// the value before; the edits of these views are in the copy after <see cref="Complete"/>.
/// </summary>
internal sealed class WrittenRows
{
    private readonly HashSet<torch.Tensor> _copies = TensorOwnership.NewTensorSet();
    private readonly HashSet<long> _writtenRows = [], _readRows = [];
    private readonly object? _original;
    private object? _value;

    /// <param name="original">The value before the writes.</param>
    public WrittenRows(object? original) => _original = _value = original;

    /// <summary>
    /// Whether the rows of a slice can be replaced in place: nothing has read them since they were replaced. A value that was read stays as
    /// it is when its rows are replaced again.
    /// </summary>
    public bool CanWrite(BatchSlice slice) => !slice.Rows.Any(_readRows.Contains);

    /// <summary>Replaces the rows of a slice.</summary>
    /// <param name="splice">
    /// Replaces the rows in a value: those tensors that are not among the copies are copied, and the copies are added to them.
    /// </param>
    public void Write(BatchSlice slice, Func<object?, HashSet<torch.Tensor>, object?> splice)
    {
        _value = splice(_value, _copies);
        _writtenRows.UnionWith(slice.Rows);
    }

    /// <summary>The value from which a slice is read, or null if some of its rows have been replaced and others have not.</summary>
    public object? SourceOf(BatchSlice slice)
    {
        int written = slice.Rows.Count(_writtenRows.Contains);
        if (written == 0) return _original;
        if (written < slice.Count) return null;
        _readRows.UnionWith(slice.Rows);
        return _value;
    }

    /// <summary>Returns the value with all writes, and with the edits of the views of rows that were not replaced.</summary>
    /// <param name="views">The slices that have been read from the value before the writes.</param>
    /// <param name="copy">Copies a slice from the first value to the second one.</param>
    public object? Complete(IEnumerable<BatchSlice> views, Action<BatchSlice, object?, object?> copy)
    {
        foreach (BatchSlice view in views)
        {
            if (!view.Rows.Any(_writtenRows.Contains)) copy(view, _original, _value);
            else
                foreach (long row in view.Rows.Where(row => !_writtenRows.Contains(row)))
                    copy(view with { Start = row, Count = 1 }, _original, _value);
        }
        return _value;
    }
}
