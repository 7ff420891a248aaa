using System.Collections.Concurrent;

namespace Ndif.Server.Grpc;

/// <summary>
/// How many Run streams of this gateway follow each job. A client that lost its connection may be back, with the same job id, before
/// the gateway notices that the old connection is dead: the old stream's end must not cancel the job then.
/// </summary>
internal sealed class RunStreamTracker
{
    private readonly ConcurrentDictionary<string, int> _streamCounts = new(StringComparer.Ordinal);

    public void Add(string jobId) => _streamCounts.AddOrUpdate(jobId, 1, (_, count) => count + 1);

    /// <summary>True if this was the job's last stream.</summary>
    public bool Remove(string jobId)
    {
        int left = _streamCounts.AddOrUpdate(jobId, 0, (_, count) => count - 1);
        if (left == 0) _streamCounts.TryRemove(new KeyValuePair<string, int>(jobId, 0));
        return left == 0;
    }
}
