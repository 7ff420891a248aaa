using Ndif.Activations;
using Ndif.Protocol;

namespace Ndif;

/// <summary>
/// A collection of activations in safetensors shards, which is read in batches, in the order in which it was written or shuffled. It needs
/// no libtorch. Of a collection that is not complete, it has the shards that were complete when it was opened.
/// </summary>
/// <example><code>
/// var activations = SafetensorsActivations.Open("activations");
/// foreach (ActivationBatch batch in activations.Read(4096, seed: 1)) Train(batch["transformer.h.1.hidden"]);   // [4096, hidden]
/// </code></example>
public sealed class SafetensorsActivations
{
    /// <summary>The size of the shards among whose rows a shuffled read draws.</summary>
    private const long ShuffleBytes = 512L << 20;

    private readonly CollectionFiles _files;
    private readonly IReadOnlyList<Shard> _shards;

    private SafetensorsActivations(CollectionFiles files, Manifest manifest)
    {
        (_files, Sites, _shards) = (files, manifest.Sites, files.ReadIndex(out _));
        Rows = _shards.Sum(shard => (long)shard.Rows);
        IsComplete = File.Exists(files.Report);
    }

    /// <summary>The sites, with the type and shape of their values.</summary>
    public IReadOnlyList<ActivationSite> Sites { get; }

    /// <summary>The number of rows, one for each token.</summary>
    public long Rows { get; }

    /// <summary>Whether the collection is complete.</summary>
    public bool IsComplete { get; }

    /// <summary>Opens a collection.</summary>
    /// <exception cref="NdifException">
    /// BAD_INPUT: the folder has no collection, or one of Parquet shards. CORRUPT_DATA: a shard is missing or has another size.
    /// </exception>
    public static SafetensorsActivations Open(string folder)
    {
        var files = new CollectionFiles(Path.GetFullPath(folder));
        Manifest manifest = CollectionFiles.Read<Manifest>(files.Manifest) ?? throw Errors.CreateException(ErrorCode.BadInput,
            $"The folder {files.Folder} has no collection of activations: it has no manifest.json.");
        if (manifest.Options.Format is not ShardFormat.Safetensors)
            throw Errors.CreateException(ErrorCode.BadInput, $"The shards of {files.Folder} are Parquet files.",
                "Read them with a library for Parquet.");
        return new SafetensorsActivations(files, manifest);
    }

    /// <summary>Reads every shard and compares its SHA-256 with that of the index.</summary>
    /// <exception cref="NdifException">CORRUPT_DATA: a shard differs; the message names it.</exception>
    public void Verify(CancellationToken cancellationToken = default)
    {
        foreach (Shard shard in _shards)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (CollectionFiles.Hash(_files.ShardPath(shard)) != shard.Sha256)
                throw CollectionFiles.Corrupt($"{_files.ShardPath(shard)} has changed: its SHA-256 is not that of the index.",
                    "Restore it, or collect again.");
        }
    }

    /// <summary>
    /// Reads all rows in batches. Each batch has <paramref name="rows"/> rows; the last one has those that remain.
    /// </summary>
    /// <param name="sites">The sites to read; null for all.</param>
    /// <param name="seed">
    /// Shuffles the rows, in the same order for the same seed: the order of the shards is drawn, and rows are drawn from as many shards at
    /// a time as fit in 512 MiB, at least one. Null for the order in which they were written, which is by length within a part of the
    /// dataset.
    /// </param>
    /// <exception cref="ArgumentException">There is no such site.</exception>
    /// <exception cref="NdifException">CORRUPT_DATA: a shard is damaged.</exception>
    public IEnumerable<ActivationBatch> Read(int rows, IReadOnlyList<string>? sites = null, int? seed = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ActivationSite[] chosen = sites is null ? [.. Sites] : [.. sites.Select(FindSite)];
        IEnumerable<(RowBlock Block, int First, int Count)> parts =
            seed is { } number ? ReadShuffled(chosen, new Random(number)) : ReadInOrder(chosen, rows);
        return ToBatches(parts, chosen, rows);
    }

    private ActivationSite FindSite(string name) => Sites.FirstOrDefault(site => site.Name == name)
        ?? throw new ArgumentException(
            $"The collection has no site `{name}`; it has {string.Join(", ", Sites.Select(s => $"`{s.Name}`"))}. "
            + Errors.DidYouMean(name, Sites.Select(site => site.Name)));

    private IEnumerable<(RowBlock Block, int First, int Count)> ReadInOrder(ActivationSite[] sites, int rows)
    {
        foreach (Shard shard in _shards)
        {
            using var file = new SafetensorsShard(_files.ShardPath(shard));
            for (int first = 0; first < shard.Rows; first += rows)
            {
                RowBlock block = RowBlock.Read(file, sites, first, Math.Min(rows, shard.Rows - first));
                yield return (block, 0, block.Rows);
            }
        }
    }

    private IEnumerable<(RowBlock Block, int First, int Count)> ReadShuffled(ActivationSite[] sites, Random random)
    {
        Shard[] order = [.. _shards];
        random.Shuffle(order);
        long rowBytes = sites.Sum(site => site.RowBytes);
        for (int start = 0, end = 0; start < order.Length; start = end)
        {
            long bytes = 0;
            while (end < order.Length && (end == start || bytes + (order[end].Rows * rowBytes) <= ShuffleBytes))
                bytes += order[end++].Rows * rowBytes;
            List<RowBlock> blocks = [];
            foreach (Shard shard in order[start..end])
            {
                using var file = new SafetensorsShard(_files.ShardPath(shard));
                blocks.Add(RowBlock.Read(file, sites, 0, shard.Rows));
            }
            (int Block, int Row)[] drawn = [.. blocks.SelectMany((block, i) => Enumerable.Range(0, block.Rows).Select(row => (i, row)))];
            random.Shuffle(drawn);
            foreach ((int block, int row) in drawn) yield return (blocks[block], row, 1);
        }
    }

    private static IEnumerable<ActivationBatch> ToBatches(
        IEnumerable<(RowBlock Block, int First, int Count)> parts, ActivationSite[] sites, int rows)
    {
        RowBlock batch = RowBlock.Allocate(sites, rows);
        foreach ((RowBlock block, int first, int count) in parts)
        {
            for (int taken = 0; taken < count;)
            {
                int taking = Math.Min(rows - batch.Rows, count - taken);
                batch.Append(block, first + taken, taking);
                taken += taking;
                if (batch.Rows < rows) continue;
                yield return batch.ToBatch();
                batch = RowBlock.Allocate(sites, rows);
            }
        }
        if (batch.Rows > 0) yield return batch.ToBatch();
    }
}
