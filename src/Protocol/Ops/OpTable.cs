using System.Collections.Frozen;

namespace Ndif.Protocol.Ops;

/// <summary>
/// The operations a program may call: a closed set, named and shaped as PyTorch's. Names are append-only.
/// To add one: a row in the file of its kind beside this, and a line in the file of the same kind in Engine/Kernels (docs/checklists/add-an-op.md).
/// </summary>
public static partial class OpTable
{
    private static readonly FrozenDictionary<string, OpSchema> _rows =
        new[] { Creation, Arithmetic, InPlace, Comparison, Reductions, Sorting, Shapes, Indexing, LinearAlgebra, Networks, Types, Sampling }
            .SelectMany(rows => rows.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            .Where(row => !row.StartsWith('#'))
            .Select(OpSchema.Parse)
            .ToFrozenDictionary(row => row.Name);

    public static IReadOnlyDictionary<string, OpSchema> Rows => _rows;

    /// <summary>The row of an operation, or null.</summary>
    public static OpSchema? Find(string name) => _rows.GetValueOrDefault(name);

    /// <summary>The row of an operation.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_OP, with the nearest names.</exception>
    public static OpSchema Get(string name) =>
        Find(name) ?? throw Errors.CreateException(ErrorCode.UnknownOp, $"There is no operation `{name}`.", Errors.DidYouMean(name, _rows.Keys));
}
