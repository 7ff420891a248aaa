using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>The ids of the jobs that this worker has leased, for its heartbeat.</summary>
internal sealed class LeasedJobs
{
    private readonly HashSet<string> _ids = [];

    public string[] Ids
    {
        get
        {
            lock (_ids) return [.. _ids];
        }
    }

    public void Add(params IEnumerable<Lease> leases)
    {
        lock (_ids) _ids.UnionWith(leases.Select(l => l.JobId));
    }

    public void Remove(params IEnumerable<Lease> leases)
    {
        lock (_ids) _ids.ExceptWith(leases.Select(l => l.JobId));
    }
}
