using Ndif.Protocol;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The slice that an invoke has read at a hook point and that must be written back into the value before the pass continues.
/// </summary>
/// <param name="IsCopy">The slice is a copy: edits of it do not reach the model's memory
/// (<see cref="BatchSlice.HasInteriorPadding"/>).</param>
/// <param name="RequiresGrad">The program reads the gradient of the slice, so the model has to continue with the slice itself.</param>
internal sealed record PendingWriteBack(BatchSlice Slice, SiteKind Kind, object? Value, bool IsCopy, bool RequiresGrad);
