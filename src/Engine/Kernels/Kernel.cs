namespace Ndif.Engine.Kernels;

/// <summary>
/// Computes one operation. Returns a tensor, a number (long, double), a bool, a string, a tuple (<c>object?[]</c>), a list
/// (<c>List&lt;object?&gt;</c>) or null. The caller opens a dispose scope around the call and keeps only the result.
/// </summary>
/// <remarks>
/// An in-place operation returns its first argument itself, and <c>getitem</c> on a container returns the item itself. Every other
/// tensor in a result is a new object, which may share memory with an argument, as PyTorch's views do.
/// </remarks>
internal delegate object? Kernel(in OpArguments arguments);
