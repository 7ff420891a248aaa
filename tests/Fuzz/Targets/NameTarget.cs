using System.Text;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Queue.Memory;
using Ndif.Server.Admission;
using Ndif.Server.Keys;

namespace Ndif.Fuzz.Targets;

/// <summary>
/// Names that clients choose: those of blobs, jobs, owners, models, keys and a bucket. No name may be interpreted as a path.
/// </summary>
internal sealed class NameTarget : IFuzzTarget
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-fuzz-").FullName;
    private readonly string _outside;
    private readonly DirectoryBlobStore _store;
    private readonly string _blob;
    private int _runCount;

    public NameTarget()
    {
        _outside = Path.Combine(_folder, "outside");
        Directory.CreateDirectory(_outside);
        _store = new DirectoryBlobStore(new BlobOptions { Root = Path.Combine(_folder, "a", "b", "blobs") });
        _blob = _store.PutAsync((stream, _) =>
        {
            stream.WriteByte(1);
            return Task.CompletedTask;
        }).GetAwaiter().GetResult().Id;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(_folder, recursive: true);
    }

    public IEnumerable<byte[]> Seeds() => new[]
    {
        _blob, _blob.ToUpperInvariant(), $"../{_blob[3..]}", "../../outside/x", "/etc/passwd", "a\0b", "job-1",
        "ndif_abcdefgh_" + new string('x', 43), "ana", "openai-community/gpt2@main",
        "s3://bucket/prefix?endpoint=http://localhost:9000&region=eu-central-1&path-style=true", "s3://../..",
        "é", "\ud800", new string('a', 64), new string('a', 65), "a b", "",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        string name = Encoding.UTF8.GetString(input);
        AssertTypedRefusal(() => _store.OpenAsync(name).GetAwaiter().GetResult()?.Dispose());
        AssertTypedRefusal(() => _store.ExistsAsync(name).GetAwaiter().GetResult());
        AssertTypedRefusal(() => _store.CanReadAsync(name, name).GetAwaiter().GetResult());
        AssertTypedRefusal(() => _store.GrantAsync(name, name, name).GetAwaiter().GetResult());
        _store.GrantAsync(_blob, name, name).GetAwaiter().GetResult();
        if (!_store.CanReadAsync(_blob, name).GetAwaiter().GetResult()) throw new FindingException("A grant was not found again.");
        _store.GrantAsync(_blob, "keeps it").GetAwaiter().GetResult();
        _store.RevokeAsync(_blob, name, name).GetAwaiter().GetResult();
        AssertTypedRefusal(() => BlobStores.Open(new BlobOptions { Root = "s3://" + name }));
        if (JobIds.IsValid(name) && (name.Contains('.', StringComparison.Ordinal) || name.Contains('/', StringComparison.Ordinal)))
            throw new FindingException($"`{name}` is a job id.");
        if (ApiKey.TryParse(name, out ApiKey? key)
            && (key.Reveal() != name || key.ToString().Contains(name[14..], StringComparison.Ordinal)))
            throw new FindingException("A parsed key differs from its text, or its description reveals the secret.");
        AssertTypedRefusal(() => new InMemoryJobQueue().SubmitAsync(new JobSubmission(name, name, name, default)).GetAwaiter().GetResult());
        AssertTypedRefusal(() => new InMemoryJobQueue().SubmitAsync(new JobSubmission("id", name, name, default)).GetAwaiter().GetResult());

        if (++_runCount % 1000 == 1
            && (Directory.EnumerateFileSystemEntries(_outside).Any() || Directory.EnumerateFileSystemEntries(_folder).Count() != 2))
        {
            string entries = string.Join(", ", Directory.EnumerateFileSystemEntries(_folder, "*", SearchOption.AllDirectories));
            throw new FindingException($"A file was created outside of the store: {entries}");
        }
    }

    private static void AssertTypedRefusal(Action act)
    {
        try
        {
            act();
        }
        catch (NdifException e) when (e.Code is not ErrorCode.Internal)
        {
            // A typed refusal is expected.
        }
    }
}
