using System.Runtime.CompilerServices;
using Ndif.Protocol;
using StackExchange.Redis;

namespace Ndif.Queue;

/// <summary>Following a job's events: listen, read what is there, wait for the bell, read on after the last one seen.</summary>
internal sealed class RedisEventStream(RedisCalls calls, RedisBells bells, QueueOptions options)
{
    private const int Page = 128, PageBytes = 1 << 20; // values in events are up to about a megabyte

    public async IAsyncEnumerable<Event> WatchAsync(string jobId, ulong from, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using Bell bell = await bells.ListenAsync("news", jobId);
        ulong next = Math.Max(from, 1);
        for (bool known = false; ; known = true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RedisResult reply = await calls.RunAsync(RedisScript.Watch, jobId, next, Page, PageBytes);
            if (reply.IsNull)
            {
                throw known ? QueueErrors.Forgotten(jobId) : QueueErrors.UnknownJob(jobId);
            }
            var parts = (RedisResult[])reply!;
            var entries = (RedisResult[])parts[1]!;
            foreach (RedisResult entry in entries)
            {
                Event happening = EventEntry.Read(entry);
                next = happening.Sequence + 1;
                yield return happening;
                cancellationToken.ThrowIfCancellationRequested();
            }
            if ((int)parts[2] == 1) continue;
            if ((int)parts[0] == 1) yield break;
            await bell.WaitAsync(options.SafetyPoll, TimeProvider.System, cancellationToken);
        }
    }
}
