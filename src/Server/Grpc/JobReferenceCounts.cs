using System.Collections.Concurrent;

namespace Ndif.Server.Grpc;

/// <summary>Counts how many streams refer to each job. A job that no stream refers to takes no memory.</summary>
internal class JobReferenceCounts
{
    private readonly ConcurrentDictionary<string, int> _counts = new(StringComparer.Ordinal);

    /// <summary>The jobs with at least one reference.</summary>
    public IReadOnlyCollection<string> JobIds => [.. _counts.Keys];

    public void Add(string jobId) => _counts.AddOrUpdate(jobId, 1, (_, count) => count + 1);

    /// <summary>Removes a reference. Returns true if it was the last one of the job.</summary>
    public bool Remove(string jobId)
    {
        int left = _counts.AddOrUpdate(jobId, 0, (_, count) => count - 1);
        if (left == 0) _counts.TryRemove(new KeyValuePair<string, int>(jobId, 0));
        return left == 0;
    }
}
