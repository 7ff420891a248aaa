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
        List<Lease> leases, WorkerOptions options, QueueBackend backend, LeasedJobs jobs, IProgress<(string, long, long)>? innerProgress,
        TimeProvider time)
    {
        (_leases, _backend, _jobs, _innerProgress, _time) = (leases, backend, jobs, innerProgress, time);
        _jobs.Add(leases);
        _publishing = PublishProgressAsync();
        _renewing = RenewLeasesAsync(options.RenewEvery);
    }

    /// <summary>Leases the jobs that wait now, up to the size of one batch.</summary>
    public static async Task<JobsAwaitingLoad> LeaseAsync(
        IReadOnlyList<string> models, WorkerOptions options, QueueBackend backend, LeasedJobs jobs,
        IProgress<(string, long, long)>? innerProgress, ILogger logger, TimeProvider time, CancellationToken cancellationToken)
    {
        List<Lease> leases = [];
        try
        {
            while (leases.Count < options.MaxBatch
                && await backend.Jobs.LeaseAsync(options.Id, models, TimeSpan.Zero, cancellationToken) is { } lease)
                leases.Add(lease);
        }
        catch (Exception e) when (leases.Count > 0 && e is OperationCanceledException or NdifException { Retryable: true })
        {
            Log.QueueUnreachable(logger, e.Message); // the leased jobs wait for the model; the others stay in the queue
        }
        return new JobsAwaitingLoad(leases, options, backend, jobs, innerProgress, time);
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
        foreach (Lease lease in await StopAsync())
        {
            try
            {
                await _backend.Jobs.ReturnAsync(lease);
            }
            catch (NdifException e) when (e.Retryable)
            {
                // the queue cannot be reached: the lease expires
            }
        }
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
                catch (NdifException e) when (e.Retryable)
                {
                    // progress events may be lost
                }
            }
        }
    }

    private async Task RenewLeasesAsync(TimeSpan interval)
    {
        Lease[] leases = [.. _leases];
        try
        {
            while (leases.Length > 0)
            {
                await Task.Delay(interval, _time, _stop.Token);
                foreach (Lease lease in leases.Where(l => !l.Lost.IsCancellationRequested))
                {
                    try
                    {
                        await _backend.Jobs.RenewAsync(lease, _stop.Token);
                    }
                    catch (NdifException e) when (e.Retryable)
                    {
                        // retried at the next interval; if that fails too, the lease expires
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // the load has ended
        }
    }
}
