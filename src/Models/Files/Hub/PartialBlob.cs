using System.Security.Cryptography;
using System.Text;

namespace Ndif.Models.Files.Hub;

/// <summary>
/// A file that is arriving: it lies beside its place as ".incomplete", a later try goes on where this one ended, and it is moved
/// into its place when all of it is there and its checksum is right.
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

    /// <summary>Bytes that are there.</summary>
    public long Length => _stream.Length;

    public bool IsComplete => Length == _file.Size;

    public static string PathOf(string blob) => blob + ".incomplete";

    /// <summary>Opens what an earlier try left, or begins.</summary>
    public static async Task<PartialBlob> OpenAsync(HubFile file, string blob, CancellationToken cancellationToken)
    {
        PartialBlob partial = new(file, PathOf(blob));
        try
        {
            if (file.Size is null || partial.Length > file.Size) partial.Restart(); // nothing tells how far it got
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
        if (_file.Size is { } size && Length + bytes.Length > size) throw new IOException($"more than the {size} bytes arrived that `{_file.Name}` should have");
        await _stream.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
        _hash?.AppendData(bytes.Span);
    }

    /// <summary>Forgets what is there.</summary>
    public void Restart()
    {
        _stream.SetLength(0);
        _stream.Position = 0;
        _hash?.Dispose();
        _hash = NewHash(_file);
    }

    /// <summary>True if the content is what the hub announced; where its tag is no checksum, the length decides.</summary>
    public bool IsValid() => (_file.Size is null || IsComplete)
        && (_hash is null || Convert.ToHexString(_hash.GetCurrentHash()).Equals(_file.ETag, StringComparison.OrdinalIgnoreCase));

    /// <summary>Moves the file into its place, where no one ever sees a part of it.</summary>
    public async Task FinishAsync(string blob, CancellationToken cancellationToken)
    {
        await _stream.FlushAsync(cancellationToken).ConfigureAwait(false);
        _stream.Flush(flushToDisk: true);
        _stream.Dispose();
        File.Move(_path, blob, overwrite: true);
    }

    /// <summary>Deletes what arrived.</summary>
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
            for (int read; (read = await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0;) _hash.AppendData(buffer, 0, read);
        }
        _stream.Position = _stream.Length;
    }

    private static IncrementalHash? NewHash(HubFile file)
    {
        if (!file.ETag.All(char.IsAsciiHexDigit)) return null;
        if (file.ETag.Length == Sha256Digits) return IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        if (file.ETag.Length != GitDigits || file.Size is not { } size) return null;
        IncrementalHash git = IncrementalHash.CreateHash(HashAlgorithmName.SHA1); // as git names a blob
        git.AppendData(Encoding.ASCII.GetBytes($"blob {size}\0"));
        return git;
    }
}
