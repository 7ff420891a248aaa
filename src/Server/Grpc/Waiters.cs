using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>The jobs that somebody follows through this gateway while they wait: those whose positions are worth telling again.</summary>
internal sealed class Waiters
{
    private readonly ConcurrentDictionary<string, int> followers = new(StringComparer.Ordinal);

    public IReadOnlyCollection<string> Jobs => [.. followers.Keys];

    /// <summary>Somebody begins to follow a job.</summary>
    public Seat Follow(string jobId) => new(this, jobId);

    /// <summary>One follower of one job, for the time that it waits.</summary>
    internal sealed class Seat(Waiters waiters, string jobId) : IDisposable
    {
        private bool waits;

        /// <summary>An event that was sent.</summary>
        public void Saw(Event happening)
        {
            if (happening.State is { } state) Wait(state.State is JobState.Queued);
        }

        public void Dispose() => Wait(false);

        private void Wait(bool now)
        {
            if (now == waits) return;
            waits = now;
            if (now) waiters.followers.AddOrUpdate(jobId, 1, (_, count) => count + 1);
            else if (waiters.followers.AddOrUpdate(jobId, 0, (_, count) => count - 1) == 0) waiters.followers.TryRemove(new KeyValuePair<string, int>(jobId, 0));
        }
    }
}

/// <summary>Tells those who wait where they stand.</summary>
internal sealed class PositionTeller(Waiters waiters, IJobQueue jobs, GatewayOptions options, TimeProvider time, ILogger<PositionTeller> logger)
    : Chore("tell positions", options.TellInterval, time, logger)
{
    protected override async Task TurnAsync(CancellationToken cancellationToken)
    {
        // other gateways have turns of their own: not quite the interval, so that one's own last turn is always long enough ago
        if (waiters.Jobs is { Count: > 0 } waiting) await jobs.TellPositionsAsync(waiting, 0.9 * options.TellInterval, cancellationToken);
    }
}
