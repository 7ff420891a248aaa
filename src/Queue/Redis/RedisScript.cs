using System.Security.Cryptography;
using System.Text;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// A Lua script of Redis/Scripts, preceded by the shared functions of common.lua. It is called by its hash (EVALSHA); the text is sent
/// once per server.
/// </summary>
/// <remarks>
/// When Redis has reached its maxmemory, it refuses a script if the first write of it may need memory, such as the count with which the
/// deletion of a job begins, and runs it if that is a ZREM, although the next one stores a program. The first line of a script therefore
/// says what holds (https://redis.io/docs/latest/develop/programmability/lua-api/#script_flags; it needs Redis 7):
/// scripts that store what clients send are refused whole; those that free memory, or without which workers and running jobs count as
/// dead or cannot be stopped, are run, and add little. A script without that line only reads; read_events writes if Redis was restored to
/// an earlier state.
/// </remarks>
internal sealed class RedisScript
{
    private const string RefusedWhenFull = "#!lua\n", RunsWhenFull = "#!lua flags=allow-oom\n";

    public static readonly RedisScript
        GetJobs = new("get_jobs"), ReadEvents = new("read_events"), CountJobs = new("count_jobs"), Usage = new("usage"),
        ListEdits = new("list_edits");

    public static readonly RedisScript
        Submit = new("submit", RefusedWhenFull), Publish = new("publish", RefusedWhenFull), Reply = new("reply", RefusedWhenFull),
        PublishPositions = new("publish_positions", RefusedWhenFull), RecordUpload = new("record_upload", RefusedWhenFull),
        PublishEdits = new("publish_edits", RefusedWhenFull), DescribeEdits = new("describe_edits", RefusedWhenFull);

    public static readonly RedisScript
        Lease = new("lease", RunsWhenFull), Renew = new("renew", RunsWhenFull), ReleaseLease = new("release_lease", RunsWhenFull),
        PublishState = new("publish", RunsWhenFull), Cancel = new("cancel", RunsWhenFull), Reap = new("reap", RunsWhenFull),
        Delete = new("delete", RunsWhenFull), CloseOwner = new("close_owner", RunsWhenFull), Follow = new("follow", RunsWhenFull),
        TakeReply = new("take_reply", RunsWhenFull), ListUploads = new("list_uploads", RunsWhenFull),
        RemoveUploads = new("remove_uploads", RunsWhenFull), DeleteEdits = new("delete_edits", RunsWhenFull),
        ClaimReplica = new("claim_replica", RunsWhenFull), Announce = new("announce", RunsWhenFull),
        SendOrder = new("send_order", RunsWhenFull), DequeueOrders = new("dequeue_orders", RunsWhenFull);

    private RedisScript(string name, string shebang = "")
    {
        Name = name;
        Text = shebang + Read("common") + "\n" + Read(name); // Redis reads the flags in the first line only
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
