using System.Buffers;

namespace Ndif.Activations;

/// <summary>
/// Reads a stream record by record: lines, or records of CSV, in which a line break between quotes does not end the record. It holds one
/// record and a buffer.
/// </summary>
/// <param name="quote">The byte that begins and ends a quoted part; null for plain lines.</param>
internal sealed class RecordReader(Stream stream, byte? quote = null) : IDisposable
{
    /// <summary>A longer record is taken for a file of another format.</summary>
    public const int MaxRecordBytes = 256 << 20;

    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
    private int _start, _end;
    private bool _isAtEnd;

    /// <summary>The offset in the stream after the last record.</summary>
    public long Offset { get; private set; } = stream.Position;

    /// <summary>The next record without its line break; null at the end. It is valid until the next call.</summary>
    /// <exception cref="InvalidDataException">The record is too long, or a quoted part does not end.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken cancellationToken)
    {
        bool isQuoted = false;
        for (int searched = 0; ;)
        {
            int end = FindEnd(ref searched, ref isQuoted);
            if (end >= 0) return Take(end, breakLength: 1);
            if (_isAtEnd)
            {
                if (isQuoted) throw new InvalidDataException("has a quoted field that does not end.");
                if (_start == _end) return null;
                return Take(_end - _start, breakLength: 0);
            }
            await FillAsync(cancellationToken);
        }
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    /// <summary>The length of the record if it ends in the buffer; else -1.</summary>
    private int FindEnd(ref int searched, ref bool isQuoted)
    {
        ReadOnlySpan<byte> data = _buffer.AsSpan(_start.._end);
        while (true)
        {
            ReadOnlySpan<byte> rest = data[searched..];
            int found = quote is not { } mark ? rest.IndexOf((byte)'\n')
                : isQuoted ? rest.IndexOf(mark) : rest.IndexOfAny(mark, (byte)'\n');
            if (found < 0)
            {
                searched = data.Length;
                return -1;
            }
            searched += found + 1;
            if (data[searched - 1] == '\n' && !isQuoted) return searched - 1;
            isQuoted = !isQuoted; // a doubled quote ends and begins a quoted part
        }
    }

    private ReadOnlyMemory<byte> Take(int length, int breakLength)
    {
        ReadOnlyMemory<byte> record = _buffer.AsMemory(_start, length);
        _start += length + breakLength;
        Offset += length + breakLength;
        return record.Span.EndsWith("\r"u8) ? record[..^1] : record;
    }

    private async ValueTask FillAsync(CancellationToken cancellationToken)
    {
        int used = _end - _start;
        if (used > MaxRecordBytes) throw new InvalidDataException($"is longer than {MaxRecordBytes >> 20} MiB.");
        byte[] buffer = used < _buffer.Length / 2 ? _buffer : ArrayPool<byte>.Shared.Rent(2 * _buffer.Length);
        _buffer.AsSpan(_start, used).CopyTo(buffer);
        if (buffer != _buffer) ArrayPool<byte>.Shared.Return(_buffer);
        (_buffer, _start, _end) = (buffer, 0, used);
        int read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
        _isAtEnd = read == 0;
        _end += read;
    }
}
