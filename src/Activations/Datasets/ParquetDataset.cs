using System.Runtime.CompilerServices;
using Parquet;
using Parquet.Schema;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>A Parquet file with a column of texts, of which one row group is in memory at a time.</summary>
internal sealed class ParquetDataset(string path, string column) : FileDataset(path)
{
    private long _rows;

    internal override string Column => column;

    internal override double FractionBefore(DatasetPosition position) => _rows == 0 ? 0 : (double)position.Text / _rows;

    internal override async IAsyncEnumerable<DatasetRecord> ReadAsync(
        DatasetPosition from, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using ParquetReader reader = await OpenAsync(cancellationToken);
        DataField field = FindColumn(reader.Schema);
        _rows = reader.Metadata?.NumRows ?? 0;
        long first = 0; // the number of the first record of the row group
        for (int group = 0; group < reader.RowGroupCount; group++)
        {
            using ParquetRowGroupReader rows = reader.OpenRowGroupReader(group);
            long end = first + rows.RowCount;
            if (end > from.Text)
            {
                var texts = new string?[rows.RowCount];
                await rows.ReadAsync(field, texts.AsMemory()!, cancellationToken: cancellationToken);
                for (long text = Math.Max(first, from.Text); text < end; text++)
                {
                    yield return new DatasetRecord(texts[text - first] ?? "") { Next = new DatasetPosition(text + 1, 0) };
                    texts[text - first] = null;
                }
            }
            first = end;
        }
    }

    private async Task<ParquetReader> OpenAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await ParquetReader.CreateAsync(FilePath, cancellationToken: cancellationToken);
        }
        catch (Exception e) when (e is IOException or ParquetException or InvalidOperationException)
        {
            throw Errors.CreateException(ErrorCode.BadInput, $"{FilePath} is not a Parquet file: {e.Message}", inner: e);
        }
    }

    private DataField FindColumn(ParquetSchema schema)
    {
        DataField[] fields = schema.GetDataFields();
        DataField field = fields.FirstOrDefault(f => f.Path.ToString() == column) ?? throw Errors.CreateException(ErrorCode.BadInput,
            $"{FilePath} has no column `{column}`; it has {string.Join(", ", fields.Take(20).Select(f => $"`{f.Path}`"))}.",
            Errors.DidYouMean(column, fields.Select(f => f.Path.ToString())));
        bool isText = field.ClrType == typeof(string) || field.ClrType == typeof(ReadOnlyMemory<char>);
        return isText && field.MaxRepetitionLevel == 0 ? field : throw Errors.CreateException(ErrorCode.BadInput,
            $"The column `{column}` of {FilePath} is of {field.ClrType.Name}, not of texts.");
    }
}
