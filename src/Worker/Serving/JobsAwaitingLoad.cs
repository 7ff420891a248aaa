using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// The jobs that wait for a model which is being loaded. They are leased, so that the worker can publish their LOADING state and the
/// progress, and their leases are renewed. They run first when the model is loaded; if the load fails, they return to the queue.
/// </summary>
internal sealed class JobsAwaitingLoad : IProgress<(string What, long Done, long Total)>, IAsyncDisposable
{
    private static readonly TimeSpan _progressInterval = TimeSpan.FromMilliseconds(250);

    private readonly JobLeaseClient _client;
    private readonly QueueBackend _backend;
    private readonly LeasedJobs _jobs;
    private readonly TimeProvider _time;
    private readonly Channel<Progress> _progress =
        Channel.CreateBounded<Progress>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly CancellationTokenSource _stop = new();
    private readonly IProgress<(string What, long Done, long Total)>? _innerProgress;
    private readonly Task _publishing, _renewing;
    private List<Lease> _leases;
    private long _lastReport;

    private JobsAwaitingLoad(
        List<Lease> leases, JobLeaseClient client, QueueBackend backend, LeasedJobs jobs, IProgress<(string, long, long)>? innerProgress,
        TimeProvider time)
    {
        (_leases, _client, _backend, _jobs, _innerProgress, _time) = (leases, client, backend, jobs, innerProgress, time);
        _jobs.Add(leases);
        _publishing = PublishProgressAsync();
        _renewing = Task.WhenAll(leases.Select(lease => client.RenewUntilLostAsync(lease, _stop.Token)));
    }

    /// <summary>Leases the jobs that wait now, up to the size of one batch.</summary>
    public static async Task<JobsAwaitingLoad> LeaseAsync(
        IReadOnlyList<string> models, WorkerOptions options, QueueBackend backend, LeasedJobs jobs,
        IProgress<(string, long, long)>? innerProgress, ILogger logger, TimeProvider time, CancellationToken cancellationToken)
    {
        var client = new JobLeaseClient(options, backend.Jobs, logger, time);
        List<Lease> leases = await client.LeaseWaitingAsync(models, cancellationToken);
        return new JobsAwaitingLoad(leases, client, backend, jobs, innerProgress, time);
    }

    /// <summary>Reports the progress of the load; called on the thread that loads.</summary>
    public void Report((string What, long Done, long Total) value)
    {
        _innerProgress?.Report(value);
        if (_leases.Count == 0 || (value.Done < value.Total && _lastReport != 0 && _time.GetElapsedTime(_lastReport) < _progressInterval))
            return;
        _lastReport = _time.GetTimestamp();
        _progress.Writer.TryWrite(
            new Progress { What = $"loading {value.What}", Done = (ulong)value.Done, Total = (ulong)value.Total, Unit = "bytes" });
    }

    /// <summary>Returns the jobs that still wait, and transfers their leases to the caller.</summary>
    public async Task<IReadOnlyList<Lease>> HandOverAsync()
    {
        List<Lease> leases = await StopAsync();
        return [.. leases.Where(l => !l.Lost.IsCancellationRequested)];
    }

    /// <summary>Returns the jobs that were not handed over to the queue.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (Lease lease in await StopAsync()) await _client.ReturnAsync(lease);
        _stop.Dispose();
    }

    private async Task<List<Lease>> StopAsync()
    {
        (List<Lease> leases, _leases) = (_leases, []);
        _progress.Writer.TryComplete();
        await _publishing;
        await _stop.CancelAsync();
        await _renewing;
        _jobs.Remove(leases);
        return leases;
    }

    private async Task PublishProgressAsync()
    {
        Lease[] leases = [.. _leases];
        await PublishAsync(new Event { State = new StateChanged { State = JobState.Loading } });
        await foreach (Progress progress in _progress.Reader.ReadAllAsync()) await PublishAsync(new Event { Progress = progress });

        async Task PublishAsync(Event jobEvent)
        {
            foreach (Lease lease in leases.Where(l => !l.Lost.IsCancellationRequested))
            {
                try
                {
                    await _backend.Jobs.PublishAsync(lease, jobEvent);
                }
                catch (Exception)
                {
                    // progress events may be lost; the renewal of the lease logs a queue that cannot be reached
                }
            }
        }
    }
}
