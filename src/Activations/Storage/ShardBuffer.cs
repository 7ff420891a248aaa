using System.Runtime.InteropServices;

namespace Ndif.Activations;

/// <summary>A shard in memory: the values of batches, in the arrays in which they arrived.</summary>
internal sealed class ShardBuffer(IReadOnlyList<ActivationSite> sites)
{
    private readonly List<(PromptBatch Batch, TensorData[] Values)> _batches = [];

    public IReadOnlyList<ActivationSite> Sites => sites;

    public int Rows { get; private set; }

    /// <summary>The size of the values of one row at all sites.</summary>
    public long RowBytes { get; } = sites.Sum(site => site.RowBytes);

    public long Bytes => Rows * RowBytes;

    /// <summary>The place after the last batch.</summary>
    public CollectCursor Next => _batches[^1].Batch.Next;

    /// <summary>Adds the values of a batch at each site.</summary>
    public void Add(PromptBatch batch, TensorData[] values)
    {
        for (int i = 0; i < sites.Count; i++)
        {
            if (values[i].Type != sites[i].Dtype || values[i].Bytes.Length != batch.Rows * sites[i].RowBytes)
                throw new InvalidOperationException(
                    $"The site `{sites[i].Name}` gave {values[i].Type.TorchName()} [{string.Join(", ", values[i].Shape.ToArray())}] for "
                    + $"{batch.Rows} rows of {sites[i].Dtype.TorchName()} [{string.Join(", ", sites[i].Shape)}].");
        }
        _batches.Add((batch, values));
        Rows += batch.Rows;
    }

    /// <summary>The values at a site, in parts that follow each other.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> ValuesAt(int site) => _batches.Select(batch => batch.Values[site].Bytes);

    /// <summary>The number of the text of each row. [rows]</summary>
    public IEnumerable<long> Texts => Each((batch, row) => batch.Texts[row.Text].Text);

    /// <summary>The token id of each row. [rows]</summary>
    public IEnumerable<int> Tokens => Each((batch, row) => batch.Texts[row.Text].Tokens[row.Position]);

    /// <summary>The position of each row in its text. [rows]</summary>
    public IEnumerable<int> Positions => Each((_, row) => row.Position);

    /// <summary>The number of elements that are infinite in float16.</summary>
    public long CountOverflows()
    {
        long count = 0;
        for (int site = 0; site < sites.Count; site++)
        {
            if (sites[site].Dtype is not DType.Float16) continue;
            foreach (ReadOnlyMemory<byte> part in ValuesAt(site))
                foreach (ushort bits in MemoryMarshal.Cast<byte, ushort>(part.Span))
                    if ((bits & 0x7fff) == 0x7c00) count++;
        }
        return count;
    }

    private IEnumerable<T> Each<T>(Func<PromptBatch, (int Text, int Position), T> select) =>
        _batches.SelectMany(item => item.Batch.EnumerateRows().Select(row => select(item.Batch, row)));
}
