using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Ndif.Activations;

/// <summary>Texts or rows of tokens that this process has or makes.</summary>
internal sealed class InMemoryDataset(IEnumerable<DatasetRecord> records) : TextDataset
{
    private long _count;

    internal override string Name => "memory";

    internal override Task<string> HashAsync(CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        _count = 0;
        foreach (DatasetRecord record in records)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<byte> content = record.Tokens is { } tokens ? MemoryMarshal.AsBytes<int>(tokens)
                : MemoryMarshal.AsBytes(record.Text.AsSpan());
            hash.AppendData(BitConverter.GetBytes(record.Tokens is null ? content.Length : -1L - content.Length));
            hash.AppendData(content);
            _count++;
        }
        return Task.FromResult(Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    internal override async IAsyncEnumerable<DatasetRecord> ReadAsync(
        DatasetPosition from, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.CompletedTask;
        long text = from.Text;
        foreach (DatasetRecord record in records.Skip(checked((int)from.Text)))
        {
            cancellationToken.ThrowIfCancellationRequested();
            // half of a surrogate pair becomes U+FFFD
            DatasetRecord valid = record.Tokens is not null || IsWellFormed(record.Text) ? record
                : new DatasetRecord(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(record.Text))) { IsInvalid = true };
            yield return valid with { Next = new DatasetPosition(++text, 0) };
        }
    }

    internal override double FractionBefore(DatasetPosition position) => _count == 0 ? 1 : (double)position.Text / _count;

    /// <summary>Whether each half of a surrogate pair has the other half.</summary>
    private static bool IsWellFormed(ReadOnlySpan<char> text)
    {
        for (int i = text.IndexOfAnyInRange('\ud800', '\udfff'); i >= 0 && i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i])) continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1])) return false;
            i++;
        }
        return true;
    }
}
