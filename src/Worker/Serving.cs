using Microsoft.Extensions.Logging;
using Ndif.Engine;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// One model at work.
/// 1. Wait for a job; take along what else waits (to <see cref="WorkerOptions.MaxBatch"/>).
/// 2. Compile each, run all in one pass on the model's thread, renewing their leases.
/// 3. Publish each job's end. Then 1 again; when nothing comes for a while, give unused memory back first.
/// </summary>
internal sealed class Serving(ModelHost host, WorkerOptions options, QueueBackend backend, RunningJobs jobs, ILogger log, TimeProvider time) : IDisposable
{
    private readonly CancellationTokenSource _drain = new();

    public ModelHost Host => host;

    /// <summary>The worker was started with it: it stays, unless an operator says otherwise.</summary>
    public bool IsFixed { get; init; }

    /// <summary>Until then it does not make room for another: so long as to be worth its loading.</summary>
    public DateTimeOffset StaysUntil => host.Since + (options.MinResidence > 5 * host.LoadTime ? options.MinResidence : 5 * host.LoadTime);

    /// <summary>Completes when it was drained; fails if it cannot go on.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    /// <summary>Begins with the jobs that were taken while the model was loaded.</summary>
    /// <param name="abort">Cancels what runs, which goes back to the queue.</param>
    public void Start(IReadOnlyList<Lease> first, CancellationToken abort) => Ended = ServeAsync(first, abort);

    /// <summary>Takes nothing new, and returns when what runs has ended.</summary>
    public async Task DrainAsync()
    {
        if (!Ended.IsCompleted) await _drain.CancelAsync();
        await Ended;
    }

    /// <summary>After it was drained. The model is not its own.</summary>
    public void Dispose() => _drain.Dispose();

    private async Task ServeAsync(IReadOnlyList<Lease> first, CancellationToken abort)
    {
        await Task.Yield();
        if (first.Count > 0) await RunAsync(first, abort);
        bool resting = true;
        while (!_drain.IsCancellationRequested)
        {
            try
            {
                List<Lease> leases = await TakeAsync(resting ? TimeSpan.FromSeconds(30) : options.RestAfter);
                if (leases.Count > 0) await RunAsync(leases, abort);
                else if (!resting) NativeHeap.GiveBack();
                resting = leases.Count == 0;
            }
            catch (OperationCanceledException) when (_drain.IsCancellationRequested)
            {
                return;
            }
            catch (NdifException e) when (e.Retryable)
            {
                Log.QueueUnreachable(log, e.Message);
                await Task.Delay(TimeSpan.FromSeconds(1), time, _drain.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>The next job, and those that wait beside it; none if none came for so long.</summary>
    private async Task<List<Lease>> TakeAsync(TimeSpan patience)
    {
        List<Lease> leases = [];
        while (leases.Count < options.MaxBatch)
        {
            try
            {
                Lease? lease = await backend.Jobs.LeaseAsync(options.Id, host.Names, leases.Count == 0 ? patience : TimeSpan.Zero, _drain.Token);
                if (lease is null) break;
                leases.Add(lease);
            }
            catch (Exception e) when (leases.Count > 0 && e is OperationCanceledException or NdifException { Retryable: true })
            {
                if (e is NdifException) Log.QueueUnreachable(log, e.Message);
                break; // those that are here run: thrown away, they would count as lost with a worker
            }
        }
        return leases;
    }

    private async Task RunAsync(IReadOnlyList<Lease> leases, CancellationToken abort)
    {
        (host.Running, host.LastUsed) = (leases.Count, time.GetUtcNow());
        jobs.Add(leases);
        foreach (Lease lease in leases) Log.Started(log, lease.JobId, lease.Model, lease.Attempt, leases.Count);
        List<JobExecution> executions = [.. leases.Select(l => JobExecution.Begin(l, host.Subject, host.Since, backend, options, time, abort))];
        using var ended = new CancellationTokenSource();
        Task[] keeping = [.. executions.Select(e => e.KeepAsync(ended.Token))];
        try
        {
            await host.Lane.RunAsync(() =>
            {
                executions.ForEach(e => e.PassBegins());
                ProgramEngine.Run(host.Subject, [.. executions.Where(e => e.Run is not null).Select(e => e.Run!)]);
                executions.ForEach(e => e.PassEnded());
                return true;
            });
        }
        finally
        {
            foreach (JobExecution execution in executions)
            {
                await execution.EndAsync(abort);
                Log.Ended(log, execution.Lease.JobId, (execution.Error ?? execution.Run?.Error)?.Code.ToString() ?? "completed");
            }
            // a renewal that is under way may still find its lease lost, and cancels the run: only then may that go
            await ended.CancelAsync();
            await Task.WhenAll(keeping);
            foreach (JobExecution execution in executions) await execution.DisposeAsync();
            jobs.Remove(leases);
            (host.Running, host.LastUsed) = (0, time.GetUtcNow());
        }
    }
}
