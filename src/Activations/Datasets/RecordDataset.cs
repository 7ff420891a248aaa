using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Unicode;

namespace Ndif.Activations;

/// <summary>A file of records that follow each other: lines or CSV.</summary>
internal abstract class RecordDataset(string path, byte? quote) : FileDataset(path)
{
    internal override async IAsyncEnumerable<DatasetRecord> ReadAsync(
        DatasetPosition from, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using FileStream file = Open();
        await SkipByteOrderMarkAsync(file, cancellationToken);
        using (var header = new RecordReader(file, quote))
        {
            await ReadHeaderAsync(header, cancellationToken);
            file.Position = from.Offset > 0 ? from.Offset : header.Offset;
        }
        using var records = new RecordReader(file, quote);
        for (long text = from.Text; await ReadRecordAsync(records, text, cancellationToken) is { } bytes; text++)
            yield return Parse(bytes, text) with { Next = new DatasetPosition(text + 1, records.Offset) };
    }

    /// <summary>Reads what comes before the first record of a file.</summary>
    protected virtual ValueTask ReadHeaderAsync(RecordReader records, CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>The text of a record, or its tokens.</summary>
    /// <param name="text">The number of the record.</param>
    protected abstract DatasetRecord Parse(ReadOnlyMemory<byte> record, long text);

    /// <summary>The bytes as UTF-8, with replacement characters for what is not.</summary>
    protected static DatasetRecord Decode(ReadOnlySpan<byte> utf8) =>
        new(Encoding.UTF8.GetString(utf8)) { IsInvalid = !Utf8.IsValid(utf8) };

    private async ValueTask<ReadOnlyMemory<byte>?> ReadRecordAsync(RecordReader records, long text, CancellationToken cancellationToken)
    {
        try
        {
            return await records.ReadAsync(cancellationToken);
        }
        catch (InvalidDataException e)
        {
            throw BadRecord(text, e.Message);
        }
    }

    private static async ValueTask SkipByteOrderMarkAsync(FileStream file, CancellationToken cancellationToken)
    {
        byte[] start = new byte[3];
        int read = await file.ReadAtLeastAsync(start, start.Length, throwOnEndOfStream: false, cancellationToken);
        file.Position = read == 3 && Encoding.UTF8.Preamble.SequenceEqual(start) ? 3 : 0;
    }
}
