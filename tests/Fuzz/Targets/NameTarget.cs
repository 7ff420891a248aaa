using System.Text;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server;

namespace Ndif.Fuzz;

/// <summary>Names that strangers choose, wherever one comes in: blobs, jobs, owners, models, keys, a bucket. None may become a path.</summary>
internal sealed class NameTarget : IFuzzTarget
{
    private readonly string folder = Directory.CreateTempSubdirectory("ndif-fuzz-").FullName;
    private readonly string outside;
    private readonly DirectoryBlobStore store;
    private readonly string blob;
    private int rounds;

    public NameTarget()
    {
        outside = Path.Combine(folder, "outside");
        Directory.CreateDirectory(outside);
        store = new DirectoryBlobStore(new BlobOptions { Root = Path.Combine(folder, "a", "b", "blobs") });
        blob = store.PutAsync((stream, _) =>
        {
            stream.WriteByte(1);
            return Task.CompletedTask;
        }).GetAwaiter().GetResult().Id;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
    }

    public IEnumerable<byte[]> Seeds() => new[]
    {
        blob, blob.ToUpperInvariant(), $"../{blob[3..]}", "../../outside/x", "/etc/passwd", "a\0b", "job-1", "ndif_abcdefgh_" + new string('x', 43), "ana", "openai-community/gpt2@main",
        "s3://bucket/prefix?endpoint=http://localhost:9000&region=eu-central-1&path-style=true", "s3://../..", "é", "\ud800", new string('a', 64), new string('a', 65), "a b", "",
    }.Select(Encoding.UTF8.GetBytes);

    public void Run(byte[] input)
    {
        string name = Encoding.UTF8.GetString(input);
        Refused(() => store.OpenAsync(name).GetAwaiter().GetResult()?.Dispose());
        Refused(() => store.ExistsAsync(name).GetAwaiter().GetResult());
        Refused(() => store.MayReadAsync(name, name).GetAwaiter().GetResult());
        Refused(() => store.GrantAsync(name, name, name).GetAwaiter().GetResult());
        store.GrantAsync(blob, name, name).GetAwaiter().GetResult();
        if (!store.MayReadAsync(blob, name).GetAwaiter().GetResult()) throw new FindingException("A grant was not found again.");
        store.GrantAsync(blob, "keeps it").GetAwaiter().GetResult();
        store.ReleaseAsync(blob, name, name).GetAwaiter().GetResult();
        Refused(() => BlobStores.Open(new BlobOptions { Root = "s3://" + name }));
        if (JobIds.IsValid(name) && (name.Contains('.', StringComparison.Ordinal) || name.Contains('/', StringComparison.Ordinal))) throw new FindingException($"`{name}` is a job id.");
        if (ApiKey.TryParse(name, out ApiKey? key) && (key.Reveal() != name || key.ToString().Contains(name[14..], StringComparison.Ordinal))) throw new FindingException("A key is another one.");
        Refused(() => new InMemoryJobQueue().SubmitAsync(new JobSubmission(name, name, name, default)).GetAwaiter().GetResult());
        Refused(() => new InMemoryJobQueue().SubmitAsync(new JobSubmission("id", name, name, default)).GetAwaiter().GetResult());

        if (++rounds % 1000 == 1 && (Directory.EnumerateFileSystemEntries(outside).Any() || Directory.EnumerateFileSystemEntries(folder).Count() != 2))
            throw new FindingException($"Something lies outside of the store: {string.Join(", ", Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories))}");
    }

    private static void Refused(Action act)
    {
        try
        {
            act();
        }
        catch (NdifException e) when (e.Code is not ErrorCode.Internal)
        {
            // typed
        }
    }
}
