using System.Collections.Frozen;
using System.Reflection;

namespace Ndif.Protocol.Ops;

/// <summary>
/// The operations that a program may call: a closed set with PyTorch's names and signatures. Names are append-only. The rows are in the
/// *.ops files of this folder; docs/checklists/add-an-op.md says how to add one.
/// </summary>
public static class OpTable
{
    private static readonly FrozenDictionary<string, OpSchema> _rows = ReadRows().ToFrozenDictionary(row => row.Name);

    /// <summary>All rows by name.</summary>
    public static IReadOnlyDictionary<string, OpSchema> Rows => _rows;

    /// <summary>The row of an operation, or null.</summary>
    public static OpSchema? Find(string name) => _rows.GetValueOrDefault(name);

    /// <summary>The row of an operation.</summary>
    /// <exception cref="BadProgramException">UNKNOWN_OP, with the nearest names.</exception>
    public static OpSchema Get(string name) =>
        Find(name) ?? throw Errors.CreateException(ErrorCode.UnknownOp,
            $"There is no operation `{name}`.", Errors.DidYouMean(name, _rows.Keys));

    private static IEnumerable<OpSchema> ReadRows()
    {
        Assembly assembly = typeof(OpTable).Assembly;
        foreach (string file in assembly.GetManifestResourceNames())
        {
            if (!file.EndsWith(".ops", StringComparison.Ordinal)) continue;
            using var reader = new StreamReader(assembly.GetManifestResourceStream(file)!);
            foreach (OpRow row in OpTableReader.Read(reader.ReadToEnd())) yield return OpSchema.Parse(row.Schema);
        }
    }
}
