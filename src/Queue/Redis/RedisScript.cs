using System.Security.Cryptography;
using System.Text;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// A Lua script of Redis/Scripts, preceded by the shared functions of common.lua. It is called by its hash (EVALSHA); the text is sent
/// once per server.
/// </summary>
internal sealed class RedisScript
{
    public static readonly RedisScript
        Submit = new("submit"), Lease = new("lease"), Renew = new("renew"), Publish = new("publish"),
        ReleaseLease = new("release_lease"), Cancel = new("cancel"), Reap = new("reap"), GetJobs = new("get_jobs"),
        ReadEvents = new("read_events"), CountJobs = new("count_jobs"), Reply = new("reply"), TakeReply = new("take_reply"),
        Delete = new("delete"), Usage = new("usage"), ClaimReplica = new("claim_replica"), DequeueOrders = new("dequeue_orders"),
        PublishPositions = new("publish_positions"), Follow = new("follow"), RecordUpload = new("record_upload"),
        ListUploads = new("list_uploads"), RemoveUploads = new("remove_uploads"), PublishEdits = new("publish_edits"),
        DeleteEdits = new("delete_edits"), Announce = new("announce");

    private RedisScript(string name)
    {
        Name = name;
        Text = Read("common") + "\n" + Read(name);
#pragma warning disable CA5350 // Redis identifies scripts by SHA-1
        Hash = SHA1.HashData(Encoding.UTF8.GetBytes(Text));
#pragma warning restore CA5350
    }

    public string Name { get; }

    public string Text { get; }

    public byte[] Hash { get; }

    private static string Read(string name)
    {
        using Stream resource = typeof(RedisScript).Assembly.GetManifestResourceStream($"{name}.lua")!;
        using var reader = new StreamReader(resource);
        return reader.ReadToEnd();
    }
}
