namespace Ndif;

/// <summary>
/// PyTorch's functions that are not methods of a value: new tensors, joins, layers, losses, random numbers. Names and arguments
/// are PyTorch's, defaults too; what is left out is not sent. They are recorded where they stand and computed when the trace runs.
/// </summary>
public static partial class Op;
