using Ndif.Engine.Scheduling;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>The jobs that this worker has leased: those that run, and those that wait for their model to be loaded.</summary>
/// <param name="memory">The memory of their values; null for no limit.</param>
internal sealed class LeasedJobs(OwnerMemory? memory)
{
    private const int MaxShortages = 10_000;

    /// <summary>How often the memory is looked at that a job waits for.</summary>
    private static readonly TimeSpan _memoryPoll = TimeSpan.FromMilliseconds(100);

    private readonly Dictionary<long, (Lease Lease, JobExecution? Execution)> _byToken = [];
    private readonly HashSet<string> _killed = [];
    private readonly OrderedDictionary<string, double> _shortages = []; // by job

    public OwnerMemory? Memory => memory;

    /// <summary>What writes their large results.</summary>
    public ResultWriters Writers { get; } = new();

    /// <summary>What compiles their large programs.</summary>
    public OwnerWorkQueues Compilers { get; } = new();

    /// <summary>Notes that a job returns to the queue for lack of memory.</summary>
    /// <param name="bytes">The bytes that its owner has to be able to take before it runs again.</param>
    public void OnMemoryShortage(string jobId, double bytes)
    {
        lock (_shortages)
        {
            while (_shortages.Count >= MaxShortages) _shortages.RemoveAt(0); // of jobs that ended elsewhere
            _shortages[jobId] = bytes;
        }
    }

    /// <summary>
    /// If the last attempt of a job had too little memory, waits until there is enough. The other owners leave it to the job until the
    /// result is disposed (<see cref="OwnerMemory"/>). Of the jobs of an owner that wait, one runs at a time.
    /// </summary>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    public async Task<IDisposable?> WaitForMemoryAsync(Lease lease, CancellationToken cancellationToken)
    {
        double bytes;
        lock (_shortages)
            if (!_shortages.Remove(lease.JobId, out bytes)) return null;
        var reservation = new MemoryReservation(memory!, lease.Owner, bytes);
        try
        {
            while (!reservation.IsReady) await Task.Delay(_memoryPoll, cancellationToken);
            return reservation;
        }
        catch
        {
            reservation.Dispose();
            throw;
        }
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

    /// <summary>Memory that the other owners leave to a job.</summary>
    private sealed class MemoryReservation(OwnerMemory memory, string owner, double bytes) : IDisposable
    {
        private readonly OwnerMemory.Wait _wait = memory.BeginWait(owner, bytes, atOnce: false);

        public bool IsReady => memory.IsOver(_wait);

        public void Dispose() => memory.EndWait(_wait);
    }
}
