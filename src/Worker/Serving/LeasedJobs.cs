using Ndif.Engine.Running;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>The jobs that this worker has leased: those that run, and those that wait for their model to be loaded.</summary>
/// <param name="memory">The memory of their values; null for no limit.</param>
internal sealed class LeasedJobs(SharedJobMemory? memory)
{
    private readonly Dictionary<long, (Lease Lease, JobExecution? Execution)> _byToken = [];
    private readonly HashSet<string> _killed = [], _shortOfMemory = [];

    public SharedJobMemory? Memory => memory;

    /// <summary>What writes their large results.</summary>
    public ResultWriters Writers { get; } = new();

    /// <summary>What compiles their large programs.</summary>
    public OwnerWorkQueues Compilers { get; } = new();

    /// <summary>
    /// The owners of whom a job has returned for lack of memory, while too much is still in use. The worker then leases none of theirs,
    /// which could be the same.
    /// </summary>
    public string[] OwnersShortOfMemory
    {
        get
        {
            lock (_shortOfMemory)
            {
                if (_shortOfMemory.Count > 0 && memory!.Used <= memory.Total / 8) _shortOfMemory.Clear();
                return [.. _shortOfMemory];
            }
        }
    }

    public void OnMemoryShortage(string owner)
    {
        lock (_shortOfMemory) _shortOfMemory.Add(owner);
    }

    public string[] Ids
    {
        get
        {
            lock (_byToken) return [.. _byToken.Values.Select(job => job.Lease.JobId).Distinct()];
        }
    }

    /// <summary>All leases, with the executions of those that run.</summary>
    public IReadOnlyList<(Lease Lease, JobExecution? Execution)> All
    {
        get
        {
            lock (_byToken) return [.. _byToken.Values];
        }
    }

    public void Add(params IEnumerable<Lease> leases)
    {
        lock (_byToken)
            foreach (Lease lease in leases) _byToken[lease.Token] = (lease, null);
    }

    /// <summary>Notes that a leased job runs.</summary>
    public void Start(JobExecution execution)
    {
        lock (_byToken) _byToken[execution.Lease.Token] = (execution.Lease, execution);
    }

    public void Remove(params IEnumerable<Lease> leases)
    {
        lock (_byToken)
        {
            foreach (Lease lease in leases) _byToken.Remove(lease.Token);
            _killed.IntersectWith(_byToken.Values.Select(job => job.Lease.JobId));
        }
    }

    /// <summary>Notes that an operator kills a job: it gets no grace period, if it is here.</summary>
    public void Kill(string jobId)
    {
        lock (_byToken)
            if (_byToken.Values.Any(job => job.Lease.JobId == jobId)) _killed.Add(jobId);
    }

    public bool IsKilled(string jobId)
    {
        lock (_byToken) return _killed.Contains(jobId);
    }
}
