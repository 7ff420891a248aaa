namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// What a call of an operation takes at most, computed from its arguments before it is called. The numbers are doubles because the
/// products of hostile sizes exceed 64 bits.
/// </summary>
/// <param name="OutputBytes">The new memory of the results. A view has none.</param>
/// <param name="WorkspaceBytes">The memory that is needed beside the results while the operation computes.</param>
/// <param name="Elements">The operations on elements, in units of one addition of two float32 tensors.</param>
/// <param name="Flops">The operations of matrix products and factorizations, in units of a product of float32 matrices.</param>
/// <param name="TypicalShare">The share of these operations that a call takes whose elements are not chosen to be slow.</param>
internal readonly record struct OpCost(
    double OutputBytes, double WorkspaceBytes = 0, double Elements = 0, double Flops = 0, double TypicalShare = 1)
{
    public double Bytes => OutputBytes + WorkspaceBytes;
}

/// <summary>Computes the cost of a call.</summary>
internal delegate OpCost CostRule(in OpArguments arguments);

/// <summary>Finds how a call can be computed in parts, or null.</summary>
internal delegate RowSplit? SplitRule(in OpArguments arguments);

/// <summary>The row of an operation in the <see cref="CostTable"/>.</summary>
/// <param name="SkipBelow">
/// The product of the element counts of the tensor arguments (<see cref="KernelGuards.Broadcast"/>) up to which a call is always cheap, so
/// that its cost is not computed. 0 for operations whose size depends on numbers or lists.
/// </param>
/// <param name="Split">How a call is computed in parts; null if it is not.</param>
/// <param name="IsCancellable">Whether the kernel itself looks at the cancellation of the job.</param>
internal sealed record CostEntry(CostRule Rule, long SkipBelow, SplitRule? Split = null, bool IsCancellable = false);
