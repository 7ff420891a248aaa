using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// All Redis keys and channels of a cluster, after its prefix. Owners and models contain no whitespace, so a space separates two names.
/// <code>
/// number, token          the number of submissions; the last fencing token
/// job:{id}               hash: what was submitted, state, attempt, deaths, token, worker, times, error, usage, last sequence, and
///                        "large:sequence", the size of a large event
/// events:{id}            stream, entry n-0 is the event with sequence number n
/// replies:{id}           hash: client's answer by ticket
/// models                 set: models with waiting jobs
/// waiting:{model}        sorted set: "number:id" by fair-share start tag; the rank is the position
/// share:{model} {owner}  sorted set: the entries of one owner, whose tags decrease when one of them is cancelled
/// finish:{model}         sorted set: owner by the finish tag of its last job, in virtual time
/// clock, pace, running   hashes by model: virtual time, mean duration in ms, number of leased jobs
/// reaped                 the time of the last run of reap.lua, in ms
/// leased                 sorted set: job id by deadline
/// followers:{id}         sorted set: the gateways whose clients follow the job, by the time until which they count
/// all, unended           sorted sets: job ids of all owners by number; those that have not ended
/// closed                 hash: owners whose jobs are refused, because their key was revoked, and since when
/// ended, dead            sorted sets by time: "id owner" of ended jobs; ids of dead letters
/// jobs:{owner}           sorted set: job ids by number; active:{owner}: the jobs that have not ended
/// recent:{owner}         sorted set: numbers of the submissions of the last minute by time; expires after a minute
/// usage:{day}            set: owners with usage on that day (days since 1970); usage:{day} {owner}: hash, amount by "counter model"
/// totals                 hash: completed, failed, cancelled, timed_out; queue_bytes and blob_bytes of all owners
/// queue_bytes            hash by owner: bytes of jobs and events; blob_bytes: of results and uploads
/// blobs:{id}             list: the ids of the blobs of a job; blobs:{number}:{id}: of a deleted job
/// unused                 sorted set: "number:id owner" of deleted jobs whose blobs are to be deleted
/// uploads                sorted set: "owner blob bytes" of uploads by the time of their next check
/// workers, worker:{id}   set of ids; heartbeats with a time to live
/// servers:{model}        sorted set: the workers that serve the model and do not drain, by the time until which they count, in ms
/// descriptions, stamps   hashes by model: descriptions and their checksums
/// deployments            hash: deployments by name
/// holders:{name}         hash: replica claims by worker: "expiry lastUsed", in ms
/// orders:{worker}        list: orders to a worker; taken:{worker}: the orders it dequeued last
/// edits:{owner}          hash: published edits by name; public_edits: hash of owners by name, of those that every key may use
/// edit_summaries:{owner} hash: published edits without their blobs by name, for lists; public_edit_summaries: of an earlier version
/// edit_bytes             hash by "owner name": the bytes of published edits, as they count
/// publishers             set: the owners with published edits
/// </code>
/// Channels and their messages: <c>work</c> (model), <c>news</c> (job), <c>lost</c> (job and token), <c>replied</c> (job and ticket),
/// <c>deployed</c> (all workers), <c>orders</c> (worker).
/// The scripts build their keys in the same way (Scripts/common.lua).
/// </summary>
internal sealed class RedisKeys(string prefix)
{
    public RedisKey Prefix { get; } = prefix;

    public RedisKey All { get; } = prefix + "all";

    public RedisKey Unended { get; } = prefix + "unended";

    public RedisKey Dead { get; } = prefix + "dead";

    public RedisKey Workers { get; } = prefix + "workers";

    public RedisKey Descriptions { get; } = prefix + "descriptions";

    public RedisKey Stamps { get; } = prefix + "stamps";

    public RedisKey Totals { get; } = prefix + "totals";

    public RedisKey Unused { get; } = prefix + "unused";

    public RedisKey Deployments { get; } = prefix + "deployments";

    public RedisKey QueueBytes { get; } = prefix + "queue_bytes";

    public RedisKey BlobBytes { get; } = prefix + "blob_bytes";

    public RedisKey PublicEdits { get; } = prefix + "public_edits";

    public RedisKey EditBytes { get; } = prefix + "edit_bytes";

    public RedisKey Publishers { get; } = prefix + "publishers";

    public RedisKey Edits(string owner) => prefix + "edits:" + owner;

    public RedisKey EditSummaries(string owner) => prefix + "edit_summaries:" + owner;

    public RedisKey Blobs(string job) => prefix + "blobs:" + job;

    public RedisKey Holders(string name) => prefix + "holders:" + name;

    public RedisKey Job(string id) => prefix + "job:" + id;

    public RedisKey Jobs(string owner) => prefix + "jobs:" + owner;

    public RedisKey Active(string owner) => prefix + "active:" + owner;

    public RedisKey Worker(string id) => prefix + "worker:" + id;

    public RedisChannel Channel(string name) => RedisChannel.Literal(prefix + name);
}
