using System.Collections.Concurrent;

namespace Ndif.Server;

/// <summary>
/// How many Run streams of this gateway follow each job. A client that lost its connection may be back, with the same job id, before
/// the gateway notices that the old connection is dead: the old stream's end must not cancel the job then.
/// </summary>
internal sealed class Followers
{
    private readonly ConcurrentDictionary<string, int> streams = new(StringComparer.Ordinal);

    public void Enter(string jobId) => streams.AddOrUpdate(jobId, 1, (_, count) => count + 1);

    /// <summary>True if this was the job's last stream.</summary>
    public bool Leave(string jobId)
    {
        int left = streams.AddOrUpdate(jobId, 0, (_, count) => count - 1);
        if (left == 0) streams.TryRemove(new KeyValuePair<string, int>(jobId, 0));
        return left == 0;
    }
}
