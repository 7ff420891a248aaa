using Parquet;
using Parquet.Schema;

namespace Ndif.Activations;

/// <summary>Writes a shard as a Parquet file, in row groups of a bounded size.</summary>
internal static class ParquetShardWriter
{
    /// <summary>The number of elements of the sites in a row group.</summary>
    private const int GroupElements = 4 << 20;

    public static async Task WriteAsync(Stream file, ShardBuffer shard)
    {
        var schema = new ParquetSchema([
            new DataField<long>(IndexColumns.Text), new DataField<int>(IndexColumns.Token), new DataField<int>(IndexColumns.Position),
            .. shard.Sites.Select(site => new ListField(site.Name, new DataField<float>("element")))]);
        DataField[] fields = schema.GetDataFields();
        long[] texts = [.. shard.Texts];
        int[] tokens = [.. shard.Tokens], positions = [.. shard.Positions];
        RowReader[] sites = [.. shard.Sites.Select((site, i) => new RowReader(site, shard.ValuesAt(i)))];
        int groupRows = (int)Math.Max(1, GroupElements / sites.Sum(site => site.RowElements));
        await using ParquetWriter writer = await ParquetWriter.CreateAsync(schema, file);
        for (int first = 0, count; first < shard.Rows; first += count)
        {
            count = Math.Min(groupRows, shard.Rows - first);
            using ParquetRowGroupWriter group = writer.CreateRowGroup();
            await group.WriteAsync<long>(fields[0], texts.AsMemory(first, count));
            await group.WriteAsync<int>(fields[1], tokens.AsMemory(first, count));
            await group.WriteAsync<int>(fields[2], positions.AsMemory(first, count));
            for (int i = 0; i < sites.Length; i++)
            {
                DataField field = fields[3 + i];
                float[] values = sites[i].Read(count);
                int[] definitionLevels = new int[values.Length]; // no list and no element is null
                Array.Fill(definitionLevels, field.MaxDefinitionLevel);
                int[] repetitionLevels = sites[i].GetRepetitionLevels(count);
                await group.WriteAllPartsAsync<float>(field, values, definitionLevels, repetitionLevels, CancellationToken.None);
            }
        }
    }

    /// <summary>Reads the values of a site row by row from parts that follow each other.</summary>
    private sealed class RowReader(ActivationSite site, IEnumerable<ReadOnlyMemory<byte>> parts)
    {
        private readonly IEnumerator<ReadOnlyMemory<byte>> _parts = parts.GetEnumerator();
        private ReadOnlyMemory<byte> _rest;

        /// <summary>The number of elements of a row.</summary>
        public long RowElements { get; } = site.RowBytes / site.Dtype.ItemSize();

        public float[] Read(int rows)
        {
            var values = new float[rows * RowElements];
            for (int done = 0; done < values.Length;)
            {
                if (_rest.IsEmpty)
                {
                    _parts.MoveNext();
                    _rest = _parts.Current;
                }
                int count = Math.Min(values.Length - done, _rest.Length / site.Dtype.ItemSize()), bytes = count * site.Dtype.ItemSize();
                new TensorData(site.Dtype, [count], _rest[..bytes]).ToArray<float>().CopyTo(values, done);
                _rest = _rest[bytes..];
                done += count;
            }
            return values;
        }

        /// <summary>0 for the first element of each list, 1 for the others.</summary>
        public int[] GetRepetitionLevels(int rows)
        {
            var levels = new int[rows * RowElements];
            Array.Fill(levels, 1);
            for (long row = 0; row < rows; row++) levels[row * RowElements] = 0;
            return levels;
        }
    }
}
