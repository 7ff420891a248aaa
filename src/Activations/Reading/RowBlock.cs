using System.Runtime.InteropServices;

namespace Ndif.Activations;

/// <summary>Rows in memory: the index columns and the values of sites.</summary>
internal sealed class RowBlock
{
    private readonly ActivationSite[] _sites;
    private readonly Memory<long> _texts;
    private readonly Memory<int> _tokens, _positions;
    private readonly Memory<byte>[] _values; // of each site, [rows, ...]

    private RowBlock(ActivationSite[] sites, int rows, Memory<long> texts, Memory<int> tokens, Memory<int> positions, Memory<byte>[] values)
    {
        (_sites, Rows) = (sites, rows);
        (_texts, _tokens, _positions, _values) = (texts, tokens, positions, values);
    }

    public int Rows { get; private set; }

    /// <summary>A block without rows, with space for some.</summary>
    public static RowBlock Allocate(ActivationSite[] sites, int capacity) => new(sites, 0, new long[capacity], new int[capacity],
        new int[capacity], [.. sites.Select(site => new Memory<byte>(new byte[checked((int)(capacity * site.RowBytes))]))]);

    /// <summary>Reads rows of a shard.</summary>
    public static RowBlock Read(SafetensorsShard shard, ActivationSite[] sites, int first, int count)
    {
        return new RowBlock(sites, count, Column<long>(IndexColumns.Text, DType.Int64), Column<int>(IndexColumns.Token, DType.Int32),
            Column<int>(IndexColumns.Position, DType.Int32),
            [.. sites.Select(site => new Memory<byte>(shard.Read(site.Name, site.Dtype, site.RowBytes, first, count)))]);

        T[] Column<T>(string name, DType type) where T : unmanaged =>
            MemoryMarshal.Cast<byte, T>(shard.Read(name, type, type.ItemSize(), first, count)).ToArray();
    }

    /// <summary>Copies rows of another block behind those of this one.</summary>
    public void Append(RowBlock other, int first, int count)
    {
        other._texts.Slice(first, count).CopyTo(_texts[Rows..]);
        other._tokens.Slice(first, count).CopyTo(_tokens[Rows..]);
        other._positions.Slice(first, count).CopyTo(_positions[Rows..]);
        for (int i = 0; i < _values.Length; i++)
            other._values[i].Slice(ByteCount(i, first), ByteCount(i, count)).CopyTo(_values[i][ByteCount(i, Rows)..]);
        Rows += count;
    }

    public ActivationBatch ToBatch() => new(
        _sites.Select((site, i) => (site.Name, Value: new TensorData(site.Dtype, [Rows, .. site.Shape], _values[i][..ByteCount(i, Rows)])))
            .ToDictionary(item => item.Name, item => item.Value),
        _texts[..Rows], _tokens[..Rows], _positions[..Rows]);

    private int ByteCount(int site, int rows) => checked((int)(rows * _sites[site].RowBytes));
}
