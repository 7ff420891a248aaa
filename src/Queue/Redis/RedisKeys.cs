using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Every key of a deployment, behind its prefix. Owners and models hold no blanks, so a blank parts two of them.
/// <code>
/// number, token          counters: submissions, leases
/// job:{id}               hash: what was submitted, state, attempt, deaths, token, worker, times, error, usage, last sequence
/// events:{id}            stream, entry n-0 is the event with sequence number n
/// replies:{id}           hash: ticket to the client's answer
/// models                 set: models with waiting jobs
/// waiting:{model}        sorted set: "number:id" by fair-share tag. The line; a rank is a position
/// share:{model} {owner}  sorted set: the owner's part of the line, to move up when one of it is cancelled
/// finish:{model}         sorted set: owner by the virtual time at which his last job ends
/// clock, pace, running   hashes by model: virtual time, mean duration in ms, jobs leased
/// reaped                 when somebody last looked for expired leases, in ms
/// leased                 sorted set: job id by deadline
/// ended, dead            sorted sets by time: "id owner" of ended jobs, ids of dead letters
/// jobs:{owner}           sorted set: job ids by number; active:{owner} those that have not ended
/// recent:{owner}         sorted set: numbers of the last minute's submissions by time; lives that long
/// usage:{day}            set: owners with an account of that day (days since 1970); usage:{day} {owner} hash: "what model" to amount
/// totals                 hash: completed, failed
/// workers, worker:{id}   set of ids, heartbeats with a time to live; descriptions: hash by model; stamps: hash by model of their checksums
/// deployments            hash: what is wanted, by name
/// holders:{name}         hash: worker to "until lastUsed", in ms
/// orders:{worker}        list of orders to it; taken:{worker} those that it took last
/// </code>
/// Channels: <c>work</c> (a model), <c>news</c> (a job), <c>lost</c> (a job and a token), <c>replied</c> (a job and a ticket),
/// <c>deployed</c> (everybody), <c>orders</c> (a worker).
/// The scripts build the keys they need in the same way (Scripts/common.lua).
/// </summary>
internal sealed class RedisKeys(string prefix)
{
    public RedisKey Prefix { get; } = prefix;

    public RedisKey Dead { get; } = prefix + "dead";

    public RedisKey Workers { get; } = prefix + "workers";

    public RedisKey Descriptions { get; } = prefix + "descriptions";

    public RedisKey Stamps { get; } = prefix + "stamps";

    public RedisKey Deployments { get; } = prefix + "deployments";

    public RedisKey Holders(string name) => prefix + "holders:" + name;

    public RedisKey Orders(string worker) => prefix + "orders:" + worker;

    public RedisKey Job(string id) => prefix + "job:" + id;

    public RedisKey Jobs(string owner) => prefix + "jobs:" + owner;

    public RedisKey Active(string owner) => prefix + "active:" + owner;

    public RedisKey Worker(string id) => prefix + "worker:" + id;

    public RedisChannel Channel(string name) => RedisChannel.Literal(prefix + name);
}
