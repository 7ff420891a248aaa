using System.Security.Cryptography;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>A dataset in a file.</summary>
internal abstract class FileDataset(string path) : TextDataset
{
    private readonly long _length = new FileInfo(path).Length;

    public string FilePath => path;

    internal override string Name => Path.GetFileName(path);

    internal override async Task<string> HashAsync(CancellationToken cancellationToken)
    {
        await using FileStream file = Open();
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(file, cancellationToken));
    }

    internal override double FractionBefore(DatasetPosition position) => _length == 0 ? 1 : (double)position.Offset / _length;

    protected FileStream Open() => new(path, new FileStreamOptions
    {
        Access = FileAccess.Read, Share = FileShare.Read, Options = FileOptions.SequentialScan, BufferSize = 1 << 20,
    });

    /// <summary>The error for a record that cannot be read.</summary>
    /// <param name="record">The number of the record, from 0.</param>
    protected Exception BadRecord(long record, string problem, string hint = "") =>
        Errors.CreateException(ErrorCode.BadInput, $"Record {record + 1} of {path} {problem}", hint);
}
