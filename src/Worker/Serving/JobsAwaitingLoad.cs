using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// The jobs that wait for a model which is being loaded: leased so that they can be told of it (LOADING, and how far it is), and
/// renewed so that they stay. They are the first that run on the model; if it does not come, they go back to the queue.
/// </summary>
internal sealed class JobsAwaitingLoad : IProgress<(string What, long Done, long Total)>, IAsyncDisposable
{
    private static readonly TimeSpan _progressInterval = TimeSpan.FromMilliseconds(250); // two events of progress

    private readonly QueueBackend _backend;
    private readonly LeasedJobs _jobs;
    private readonly TimeProvider _time;
    private readonly Channel<Progress> _progress = Channel.CreateBounded<Progress>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly CancellationTokenSource _stop = new();
    private readonly IProgress<(string What, long Done, long Total)>? _innerProgress;
    private readonly Task _publishing, _renewing;
    private List<Lease> _leases;
    private long _lastReport;

    private JobsAwaitingLoad(List<Lease> leases, WorkerOptions options, QueueBackend backend, LeasedJobs jobs, IProgress<(string, long, long)>? innerProgress, TimeProvider time)
    {
        (_leases, _backend, _jobs, _innerProgress, _time) = (leases, backend, jobs, innerProgress, time);
        _jobs.Add(leases);
        _publishing = PublishProgressAsync();
        _renewing = RenewLeasesAsync(options.RenewEvery);
    }

    /// <summary>Takes what waits at this moment, as much as goes through one pass.</summary>
    public static async Task<JobsAwaitingLoad> LeaseAsync(IReadOnlyList<string> models, WorkerOptions options, QueueBackend backend, LeasedJobs jobs,
        IProgress<(string, long, long)>? innerProgress, ILogger logger, TimeProvider time, CancellationToken cancellationToken)
    {
        List<Lease> leases = [];
        try
        {
            while (leases.Count < options.MaxBatch && await backend.Jobs.LeaseAsync(options.Id, models, TimeSpan.Zero, cancellationToken) is { } lease) leases.Add(lease);
        }
        catch (Exception e) when (leases.Count > 0 && e is OperationCanceledException or NdifException { Retryable: true })
        {
            Log.QueueUnreachable(logger, e.Message); // those that are here wait for the model; the others stay where they are
        }
        return new JobsAwaitingLoad(leases, options, backend, jobs, innerProgress, time);
    }

    /// <summary>From the loader's thread.</summary>
    public void Report((string What, long Done, long Total) value)
    {
        _innerProgress?.Report(value);
        if (_leases.Count == 0 || (value.Done < value.Total && _lastReport != 0 && _time.GetElapsedTime(_lastReport) < _progressInterval)) return;
        _lastReport = _time.GetTimestamp();
        _progress.Writer.TryWrite(new Progress { What = $"loading {value.What}", Done = (ulong)value.Done, Total = (ulong)value.Total, Unit = "bytes" });
    }

    /// <summary>The jobs that still wait for it, to be run now.</summary>
    public async Task<IReadOnlyList<Lease>> HandOverAsync()
    {
        List<Lease> leases = await StopAsync();
        return [.. leases.Where(l => !l.Lost.IsCancellationRequested)];
    }

    /// <summary>Gives back what was not handed over.</summary>
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
                // the queue cannot be reached: the lease runs out
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
                    // it is only told how far loading is
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
                        // asked again, and if that lasts, the lease runs out
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // the model is here, or does not come
        }
    }
}
