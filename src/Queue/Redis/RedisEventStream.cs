using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>
/// Streams the events of a job:
/// 1. Subscribe to the wake-ups of the job.
/// 2. Read a page of events after the last one that was returned.
/// 3. Return them. If there may be more, continue at 2; if the job has ended, stop.
/// 4. Wait for a wake-up, at most <see cref="QueueOptions.PollInterval"/>, and continue at 2.
/// A page ends before a large event, which is read when its reader may hold it (<see cref="LargeEventLimiter"/>).
/// </summary>
internal sealed class RedisEventStream(RedisCommandExecutor commands, RedisWakeupHub wakeups, QueueOptions options) : IAsyncDisposable
{
    private const int MaxPageEvents = 128, MaxPageBytes = LargeEventLimiter.LargeEventBytes; // so a large event ends its page

    private readonly LargeEventLimiter _largeEvents = new();

    public async IAsyncEnumerable<Event> WatchAsync(
        string jobId, ulong fromSequence, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using WakeupSubscription wakeup = await wakeups.SubscribeAsync("news", jobId); // 1
        ulong next = Math.Max(fromSequence, 1), returned = 0;
        string entry = "";
        bool isTerminal = false;
        for (bool isKnown = false; ; isKnown = true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RedisResult[] parts = await ReadPageAsync(mayBeLarge: false); // 2
            using IDisposable? held = parts.Length <= 4 ? null
                : await _largeEvents.AcquireAsync((string)parts[5]!, (long)parts[4], cancellationToken);
            if (held is not null) parts = await ReadPageAsync(mayBeLarge: true);
            foreach (RedisResult item in (RedisResult[])parts[1]!) // 3
            {
                Event jobEvent = RedisEventReader.Read(item);
                (next, returned) = (jobEvent.Sequence + 1, jobEvent.Sequence);
                isTerminal = jobEvent.State?.State.IsTerminal() == true;
                yield return jobEvent;
                cancellationToken.ThrowIfCancellationRequested();
            }
            bool hasEnded = (int)parts[0] == 1, mayHaveMore = (int)parts[2] == 1;
            if (mayHaveMore) continue;
            if (hasEnded && returned > 0 && !isTerminal) throw QueueErrors.EventsLost(jobId);
            if (hasEnded) yield break;
            await wakeup.WaitAsync(options.PollInterval, TimeProvider.System, cancellationToken); // 4

            async Task<RedisResult[]> ReadPageAsync(bool mayBeLarge)
            {
                RedisResult reply = await commands.ExecuteScriptAsync(
                    RedisScript.ReadEvents, jobId, next, MaxPageEvents, MaxPageBytes, returned, entry, mayBeLarge ? 1 : 0);
                if (reply.IsNull) throw isKnown ? QueueErrors.JobDeletedWhileWatched(jobId) : QueueErrors.UnknownJob(jobId);
                var read = (RedisResult[])reply!;
                entry = (string)read[3]!;
                return read;
            }
        }
    }

    public ValueTask DisposeAsync() => _largeEvents.DisposeAsync();
}
