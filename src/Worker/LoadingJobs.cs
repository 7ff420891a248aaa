using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// The jobs that wait for a model which is being loaded: leased so that they can be told of it (LOADING, and how far it is), and
/// renewed so that they stay. They are the first that run on the model; if it does not come, they go back to the queue.
/// </summary>
internal sealed class LoadingJobs : IProgress<(string What, long Done, long Total)>, IAsyncDisposable
{
    private static readonly TimeSpan s_between = TimeSpan.FromMilliseconds(250); // two events of progress

    private readonly QueueBackend _backend;
    private readonly RunningJobs _jobs;
    private readonly TimeProvider _time;
    private readonly Channel<Progress> _progress = Channel.CreateBounded<Progress>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private readonly CancellationTokenSource _over = new();
    private readonly IProgress<(string What, long Done, long Total)>? _also;
    private readonly Task _telling, _keeping;
    private List<Lease> _leases;
    private long _told;

    private LoadingJobs(List<Lease> leases, WorkerOptions options, QueueBackend backend, RunningJobs jobs, IProgress<(string, long, long)>? also, TimeProvider time)
    {
        (_leases, _backend, _jobs, _also, _time) = (leases, backend, jobs, also, time);
        _jobs.Add(leases);
        _telling = TellAsync();
        _keeping = KeepAsync(options.RenewEvery);
    }

    /// <summary>Takes what waits at this moment, as much as goes through one pass.</summary>
    public static async Task<LoadingJobs> TakeAsync(IReadOnlyList<string> models, WorkerOptions options, QueueBackend backend, RunningJobs jobs,
        IProgress<(string, long, long)>? also, ILogger log, TimeProvider time, CancellationToken cancellationToken)
    {
        List<Lease> leases = [];
        try
        {
            while (leases.Count < options.MaxBatch && await backend.Jobs.LeaseAsync(options.Id, models, TimeSpan.Zero, cancellationToken) is { } lease) leases.Add(lease);
        }
        catch (Exception e) when (leases.Count > 0 && e is OperationCanceledException or NdifException { Retryable: true })
        {
            Log.QueueUnreachable(log, e.Message); // those that are here wait for the model; the others stay where they are
        }
        return new LoadingJobs(leases, options, backend, jobs, also, time);
    }

    /// <summary>From the loader's thread.</summary>
    public void Report((string What, long Done, long Total) value)
    {
        _also?.Report(value);
        if (_leases.Count == 0 || (value.Done < value.Total && _told != 0 && _time.GetElapsedTime(_told) < s_between)) return;
        _told = _time.GetTimestamp();
        _progress.Writer.TryWrite(new Progress { What = $"loading {value.What}", Done = (ulong)value.Done, Total = (ulong)value.Total, Unit = "bytes" });
    }

    /// <summary>The jobs that still wait for it, to be run now.</summary>
    public async Task<IReadOnlyList<Lease>> HandOverAsync()
    {
        List<Lease> leases = await EndAsync();
        return [.. leases.Where(l => !l.Lost.IsCancellationRequested)];
    }

    /// <summary>Gives back what was not handed over.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach (Lease lease in await EndAsync())
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
        _over.Dispose();
    }

    private async Task<List<Lease>> EndAsync()
    {
        (List<Lease> leases, _leases) = (_leases, []);
        _progress.Writer.TryComplete();
        await _telling;
        await _over.CancelAsync();
        await _keeping;
        _jobs.Remove(leases);
        return leases;
    }

    private async Task TellAsync()
    {
        Lease[] leases = [.. _leases];
        await PublishAsync(new Event { State = new StateChanged { State = JobState.Loading } });
        await foreach (Progress progress in _progress.Reader.ReadAllAsync()) await PublishAsync(new Event { Progress = progress });

        async Task PublishAsync(Event happening)
        {
            foreach (Lease lease in leases.Where(l => !l.Lost.IsCancellationRequested))
            {
                try
                {
                    await _backend.Jobs.PublishAsync(lease, happening);
                }
                catch (NdifException e) when (e.Retryable)
                {
                    // it is only told how far loading is
                }
            }
        }
    }

    private async Task KeepAsync(TimeSpan every)
    {
        Lease[] leases = [.. _leases];
        try
        {
            while (leases.Length > 0)
            {
                await Task.Delay(every, _time, _over.Token);
                foreach (Lease lease in leases.Where(l => !l.Lost.IsCancellationRequested))
                {
                    try
                    {
                        await _backend.Jobs.RenewAsync(lease, _over.Token);
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
