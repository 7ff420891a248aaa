using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Protocol.Wire;
using Ndif.Queue.Rules;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

// What workers do: take a job, renew its lease, publish its events, give it back.
public sealed partial class RedisJobQueue
{
    /// <inheritdoc/>
    public async Task<Lease?> LeaseAsync(
        string worker, IReadOnlyCollection<string> models, TimeSpan wait, Func<TimeSpan> wakeupDelay,
        IReadOnlyCollection<string> exceptOwners, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        await _wakeups.HandleMessagesAsync("lost", OnLeaseLost);
        using WakeupSubscription wakeup = await _wakeups.SubscribeAsync("work", models);
        return await _leaseLoop.WaitAsync(
            wakeup, () => TryLeaseAsync(worker, models, exceptOwners), wait, wakeupDelay, cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<bool> RenewAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        bool isHeld = (int)await _commands.ExecuteScriptAsync(
            RedisScript.Renew, lease.JobId, lease.Token, ToMilliseconds(_options.LeaseDuration)) == 1;
        if (!isHeld) _leases.MarkLost(lease.Token);
        return isHeld;
    }

    /// <inheritdoc/>
    public Task<bool> PublishAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        return PublishAsync(lease, jobEvent, _commands.ExecuteScriptAsync);
    }

    /// <inheritdoc/>
    public Task<bool> PublishWhenReachableAsync(Lease lease, Event jobEvent, CancellationToken cancellationToken) => PublishAsync(
        lease, jobEvent, (script, arguments) => _commands.ExecuteScriptWhenReachableAsync(script, cancellationToken, arguments));

    private async Task<bool> PublishAsync(Lease lease, Event jobEvent, Func<RedisScript, RedisValue[], Task<RedisResult>> executeAsync)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        Event stamped = JobRules.StampWorkerEvent(lease, jobEvent);
        StateChanged? state = stamped.State;
        UsageCharge charge = UsageCharge.FromUsage(state?.Usage);
        BlobRef[] blobs = [.. StorageRules.GetBlobs(stamped)];
        // in a full Redis the states of jobs go on, which are small, so that jobs run and end; what they save waits
        RedisScript script = state is null ? RedisScript.Publish : RedisScript.PublishState;
        RedisResult reply = await executeAsync(script,
        [
            lease.JobId, lease.Token, stamped.ToByteArray(), Guid.NewGuid().ToByteArray(),
            state is null ? "" : (int)state.State, ToBytes(state?.Error), ToBytes(state?.Usage),
            charge.Tokens, charge.Passes, state is { Usage: null } ? "" : charge.ComputeMilliseconds, charge.ResultBytes,
            ToMilliseconds(JobRules.GetLoadTime(state?.Usage)), _leases.GetLastSequence(lease),
            blobs.Sum(blob => StorageRules.CountBlob(blob.Length)), state?.Error?.Code is ErrorCode.JobTimeout ? 1 : 0,
            LargeEventLimiter.LargeEventBytes, .. blobs.Select(blob => (RedisValue)blob.Id),
        ]);
        if (RedisStorageAccounts.ReadViolation(reply) is { } violation)
        {
            // the job ends here; its worker learns of it as of a lost lease
            _leases.MarkLost(lease.Token);
            await PublishAsync(lease, new Event { State = JobRules.CreateFailure(lease, violation.Error) }, executeAsync);
            return false;
        }
        bool published = (int)reply == 1;
        if (published) _leases.CountEvent(lease);
        if (!published)
        {
            _leases.MarkLost(lease.Token);
            Telemetry.EventFenced(lease.Model);
            Log.EventFenced(_logger, lease.JobId, lease.Worker, lease.Token);
        }
        else if (state is not null && state.State.IsTerminal())
        {
            _leases.Release(lease);
            Telemetry.Charged(lease.Model, charge);
            Log.JobEnded(_logger, lease.JobId, state.State);
        }
        return published;
    }

    /// <inheritdoc/>
    public async Task ReturnAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        _leases.Release(lease);
        if ((int)await _commands.ExecuteScriptAsync(RedisScript.ReleaseLease, lease.JobId, lease.Token) == 1)
            Log.JobReturned(_logger, lease.JobId, lease.Worker);
    }

    /// <inheritdoc/>
    public async Task<LocalReply?> AwaitReplyAsync(
        Lease lease, ulong ticket, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ThrowIfDisposedOrCancelled(cancellationToken);
        using WakeupSubscription wakeup = await _wakeups.SubscribeAsync("replied", $"{lease.JobId} {ticket}");
        using CancellationTokenRegistration lost = lease.Lost.Register(wakeup.Notify);
        long started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            RedisResult reply = await _commands.ExecuteScriptAsync(RedisScript.TakeReply, lease.JobId, lease.Token, ticket);
            if (reply.Resp2Type == ResultType.BulkString) return ParseReply((byte[])reply!);
            TimeSpan left = timeout - TimeProvider.System.GetElapsedTime(started);
            if ((int)reply < 0 || left <= TimeSpan.Zero) return null;
            await wakeup.WaitAsync(left < _options.PollInterval ? left : _options.PollInterval, TimeProvider.System, cancellationToken);
        }
    }

    /// <summary>Parses what a client has sent, after the objects in it have been counted.</summary>
    private static LocalReply ParseReply(byte[] reply)
    {
        WireScan.Measure(reply, LocalReply.Descriptor, WireLimits.ForMessagesOf(reply.Length));
        return LocalReply.Parser.ParseFrom(reply);
    }

    /// <param name="message">"job token".</param>
    private void OnLeaseLost(string message) =>
        _leases.MarkLost(long.Parse(message.AsSpan(message.IndexOf(' ', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture));

    private async Task<Lease?> TryLeaseAsync(
        string worker, IReadOnlyCollection<string> models, IReadOnlyCollection<string> exceptOwners)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        RedisResult granted = await _commands.ExecuteScriptAsync(
            RedisScript.Lease,
            [worker, ToMilliseconds(_options.LeaseDuration), Guid.NewGuid().ToByteArray(), exceptOwners.Count,
                .. exceptOwners.Concat(models).Select(name => (RedisValue)name)]);
        if (granted.IsNull) return null;
        var parts = (RedisResult[])granted!;
        Lease lease = _leases.Track(parts, worker);
        Telemetry.JobLeased(lease, DateTimeOffset.FromUnixTimeMilliseconds((long)parts[9]));
        Log.JobLeased(_logger, lease.JobId, worker, lease.Attempt, lease.Token);
        return lease;
    }

    private static RedisValue ToBytes(IMessage? message) => message is null ? "" : message.ToByteArray();
}
