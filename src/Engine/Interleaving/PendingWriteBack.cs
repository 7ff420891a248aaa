using System.Runtime.InteropServices;
using Ndif.Protocol;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The slice that an invoke has read at a hook point and that must be written back into the value before the pass continues.
/// </summary>
/// <param name="IsCopy">The slice is a copy: edits of it do not reach the model's memory
/// (<see cref="BatchSlice.IsCopied"/>).</param>
/// <param name="RequiresGrad">The program reads the gradient of the slice, so the model has to continue with the slice itself.</param>
internal sealed record PendingWriteBack(BatchSlice Slice, SiteKind Kind, object? Value, bool IsCopy, bool RequiresGrad)
{
    /// <summary>Whether it was written back, or its rows have been replaced.</summary>
    public bool IsRemoved { get; set; }
}

/// <summary>The slices that have to be written back, in the order of their reads and by row.</summary>
internal sealed class PendingWriteBacks
{
    private readonly List<PendingWriteBack> _all = [];
    private readonly Dictionary<long, List<PendingWriteBack>> _byRow = [];

    public IEnumerable<PendingWriteBack> All => _all.Where(pending => !pending.IsRemoved);

    public void Add(PendingWriteBack pending)
    {
        _all.Add(pending);
        foreach (long row in pending.Slice.Rows)
            (CollectionsMarshal.GetValueRefOrAddDefault(_byRow, row, out _) ??= []).Add(pending);
    }

    /// <summary>The copy that an earlier read of this slice has returned, or null.</summary>
    public PendingWriteBack? FindCopy(BatchSlice slice, SiteKind kind) =>
        Overlapping(slice).FirstOrDefault(pending => pending.IsCopy && pending.Slice == slice && pending.Kind == kind);

    /// <summary>Those that share a row with a slice, each once.</summary>
    public IEnumerable<PendingWriteBack> Overlapping(BatchSlice slice) => _all.Count == 0 ? []
        : slice.Rows.SelectMany(row => _byRow.GetValueOrDefault(row) ?? []).Where(pending => !pending.IsRemoved).Distinct();

    public void Clear()
    {
        if (_all.Count == 0) return;
        _all.Clear();
        _byRow.Clear();
    }
}
