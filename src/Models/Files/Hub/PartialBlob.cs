using System.Security.Cryptography;
using System.Text;

namespace Ndif.Models.Files.Hub;

/// <summary>
/// A file during its transfer. Its content is written to "{blob}.incomplete", where a later attempt continues. When the content is
/// complete and its checksum is right, the file is renamed to its final name.
/// </summary>
internal sealed class PartialBlob : IDisposable
{
    private const int Sha256Digits = 64, GitDigits = 40;

    private readonly HubFile _file;
    private readonly string _path;
    private readonly FileStream _stream;
    private IncrementalHash? _hash;

    private PartialBlob(HubFile file, string path)
    {
        (_file, _path) = (file, path);
        _stream = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1 << 16, FileOptions.Asynchronous);
    }

    /// <summary>The number of received bytes.</summary>
    public long Length => _stream.Length;

    public bool IsComplete => Length == _file.Size;

    public static string PathOf(string blob) => blob + ".incomplete";

    /// <summary>Opens the file of an earlier attempt, or creates it.</summary>
    public static async Task<PartialBlob> OpenAsync(HubFile file, string blob, CancellationToken cancellationToken)
    {
        PartialBlob partial = new(file, PathOf(blob));
        try
        {
            if (file.Size is null || partial.Length > file.Size) partial.Restart(); // without a size it is unknown how much is missing
            else await partial.HashExistingAsync(cancellationToken).ConfigureAwait(false);
            return partial;
        }
        catch
        {
            partial.Dispose();
            throw;
        }
    }

    public async Task WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        if (_file.Size is { } size && Length + bytes.Length > size)
            throw new IOException($"more than the {size} bytes arrived that `{_file.Name}` should have");
        await _stream.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
        _hash?.AppendData(bytes.Span);
    }

    /// <summary>Discards the received bytes.</summary>
    public void Restart()
    {
        _stream.SetLength(0);
        _stream.Position = 0;
        _hash?.Dispose();
        _hash = NewHash(_file);
    }

    /// <summary>Whether the content has the announced size and hash. If the ETag is not a hash, the size decides.</summary>
    public bool IsValid() => (_file.Size is null || IsComplete)
        && (_hash is null || Convert.ToHexString(_hash.GetCurrentHash()).Equals(_file.ETag, StringComparison.OrdinalIgnoreCase));

    /// <summary>Renames the complete file to its final name, so that a partial file is never visible there.</summary>
    public async Task FinishAsync(string blob, CancellationToken cancellationToken)
    {
        await _stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_path, blob, overwrite: true);
    }

    /// <summary>Deletes the file.</summary>
    public void Discard()
    {
        _stream.Dispose();
        File.Delete(_path);
    }

    public void Dispose()
    {
        _stream.Dispose();
        _hash?.Dispose();
    }

    private async Task HashExistingAsync(CancellationToken cancellationToken)
    {
        _hash = NewHash(_file);
        if (_hash is not null)
        {
            byte[] buffer = new byte[1 << 16];
            for (int read; (read = await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0;)
                _hash.AppendData(buffer, 0, read);
        }
        _stream.Position = _stream.Length;
    }

    private static IncrementalHash? NewHash(HubFile file)
    {
        if (!file.ETag.All(char.IsAsciiHexDigit)) return null;
        if (file.ETag.Length == Sha256Digits) return IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        if (file.ETag.Length != GitDigits || file.Size is not { } size) return null;
        IncrementalHash git = IncrementalHash.CreateHash(HashAlgorithmName.SHA1); // the hash of a git blob object
        git.AppendData(Encoding.ASCII.GetBytes($"blob {size}\0"));
        return git;
    }
}
