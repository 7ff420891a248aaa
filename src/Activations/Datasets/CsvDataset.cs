using System.Text;

namespace Ndif.Activations;

/// <summary>Comma- or tab-separated values with the names of the columns in the first record (RFC 4180).</summary>
internal sealed class CsvDataset(string path, string column, char separator) : RecordDataset(path, (byte)'"')
{
    private int _column, _count;

    internal override string Column => column;

    protected override async ValueTask ReadHeaderAsync(RecordReader records, CancellationToken cancellationToken)
    {
        if (await records.ReadAsync(cancellationToken) is not { } header) return; // an empty file has no records
        string[] names = [.. Split(header.Span).Select(field => Encoding.UTF8.GetString(field))];
        (_column, _count) = (Array.IndexOf(names, column), names.Length);
        if (_column < 0)
            throw Errors.CreateException(Protocol.ErrorCode.BadInput,
                $"{FilePath} has no column `{column}`; it has {string.Join(", ", names.Take(20).Select(name => $"`{name}`"))}.",
                Errors.DidYouMean(column, names));
    }

    protected override DatasetRecord Parse(ReadOnlyMemory<byte> record, long text)
    {
        List<byte[]> fields = Split(record.Span);
        if (fields.Count == 1 && fields[0].Length == 0) return new DatasetRecord(""); // an empty line
        return fields.Count == _count ? Decode(fields[_column])
            : throw BadRecord(text, $"has {fields.Count} fields, and the first line names {_count} columns.");
    }

    /// <summary>The fields of a record, without quotes.</summary>
    private List<byte[]> Split(ReadOnlySpan<byte> record)
    {
        List<byte[]> fields = [];
        var field = new List<byte>(record.Length);
        bool isQuoted = false;
        for (int i = 0; i < record.Length; i++)
        {
            byte at = record[i];
            if (at == '"' && isQuoted && i + 1 < record.Length && record[i + 1] == '"') field.Add(record[i++]);
            else if (at == '"') isQuoted = !isQuoted;
            else if (at == separator && !isQuoted)
            {
                fields.Add([.. field]);
                field.Clear();
            }
            else field.Add(at);
        }
        fields.Add([.. field]);
        return fields;
    }
}
