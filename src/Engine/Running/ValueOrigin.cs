namespace Ndif.Engine.Running;

/// <summary>Where a value comes from, which says what it keeps in memory.</summary>
/// <param name="Operands">
/// The values from which it was computed, borrowed; null if it is a value of the model, or has the memory of other values of the job.
/// </param>
/// <param name="WorkspaceBytes">What the operation has computed beside it, and may have saved for its gradient.</param>
/// <param name="IsEdit">Whether the operation has changed its first operand, and so the graph of all tensors that share its memory.</param>
/// <param name="Batch">The value of a batch of which it is a slice; null if it is none.</param>
internal readonly record struct ValueOrigin(
    object?[]? Operands = null, double WorkspaceBytes = 0, bool IsEdit = false, BatchShare? Batch = null);
