using System.Collections.Frozen;

namespace Ndif.Engine.Kernels;

/// <summary>One line an operation: how each row of the op table is computed. A test fails if a row or a line has no partner.</summary>
public static partial class KernelTable
{
    public static FrozenDictionary<string, Kernel> Lines { get; } = new Dictionary<string, Kernel>().ToFrozenDictionary();
}
