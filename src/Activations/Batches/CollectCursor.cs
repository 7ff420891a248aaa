namespace Ndif.Activations;

/// <summary>
/// A place between two batches, from which a collection continues: the texts before the window are done, and so are the first batches of
/// the window.
/// </summary>
/// <param name="Window">The position of the first text of the window.</param>
/// <param name="Batch">The number of batches of the window that are done.</param>
/// <param name="Rows">The number of rows that are done.</param>
/// <param name="Counts">The counts of the texts before the window.</param>
internal sealed record CollectCursor(DatasetPosition Window, int Batch, long Rows, CollectCounts Counts)
{
    public static CollectCursor Start { get; } = new(default, 0, 0, new CollectCounts());
}
