using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Queue.Wakeups;
using StackExchange.Redis;

namespace Ndif.Queue.Redis;

/// <summary>Following a job's events: listen, read what is there, wait for the bell, read on after the last one seen.</summary>
internal sealed class RedisEventStream(RedisCommandExecutor commands, RedisWakeupHub wakeups, QueueOptions options)
{
    private const int MaxPageEvents = 128, MaxPageBytes = 1 << 20; // values in events are up to about a megabyte

    public async IAsyncEnumerable<Event> WatchAsync(string jobId, ulong fromSequence, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using WakeupSubscription wakeup = await wakeups.SubscribeAsync("news", jobId);
        ulong next = Math.Max(fromSequence, 1);
        for (bool known = false; ; known = true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RedisResult reply = await commands.ExecuteScriptAsync(RedisScript.Watch, jobId, next, MaxPageEvents, MaxPageBytes);
            if (reply.IsNull)
            {
                throw known ? QueueErrors.JobDeletedWhileWatched(jobId) : QueueErrors.UnknownJob(jobId);
            }
            var parts = (RedisResult[])reply!;
            var entries = (RedisResult[])parts[1]!;
            foreach (RedisResult entry in entries)
            {
                Event jobEvent = RedisEventReader.Read(entry);
                next = jobEvent.Sequence + 1;
                yield return jobEvent;
                cancellationToken.ThrowIfCancellationRequested();
            }
            if ((int)parts[2] == 1) continue;
            if ((int)parts[0] == 1) yield break;
            await wakeup.WaitAsync(options.SafetyPoll, TimeProvider.System, cancellationToken);
        }
    }
}
