using Microsoft.Extensions.Logging;
using Ndif.Engine;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Residency;

namespace Ndif.Worker.Serving;

/// <summary>
/// One model at work.
/// 1. Wait for a job; take along what else waits (to <see cref="WorkerOptions.MaxBatch"/>).
/// 2. Compile each, run all in one pass on the model's thread, renewing their leases.
/// 3. Publish each job's end. Then 1 again; when nothing comes for a while, give unused memory back first.
/// </summary>
internal sealed class JobServingLoop(ModelHost host, WorkerOptions options, QueueBackend backend, LeasedJobs jobs, ILogger logger, TimeProvider time) : IDisposable
{
    private readonly CancellationTokenSource _drain = new();
    private readonly JobLeaseClient _leases = new(options, backend.Jobs, logger, time);

    public ModelHost Host => host;

    /// <summary>The worker was started with it: it stays, unless an operator says otherwise.</summary>
    public bool IsPreloaded { get; init; }

    /// <summary>Until then it does not make room for another: so long as to be worth its loading.</summary>
    public DateTimeOffset EvictableFrom => host.LoadedAt + (options.MinResidence > 5 * host.LoadTime ? options.MinResidence : 5 * host.LoadTime);

    /// <summary>Completes when it was drained; fails if it cannot go on.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>Begins with the jobs that were taken while the model was loaded.</summary>
    /// <param name="abort">Cancels what runs, which goes back to the queue.</param>
    public void Start(IReadOnlyList<Lease> first, CancellationToken abort) => Completion = ServeJobsAsync(first, abort);

    /// <summary>Takes nothing new, and returns when what runs has ended.</summary>
    public async Task DrainAsync()
    {
        if (!Completion.IsCompleted) await _drain.CancelAsync();
        await Completion;
    }

    /// <summary>After it was drained. The model is not its own.</summary>
    public void Dispose() => _drain.Dispose();

    private async Task ServeJobsAsync(IReadOnlyList<Lease> first, CancellationToken abort)
    {
        await Task.Yield();
        if (first.Count > 0) await RunBatchAsync(first, abort);
        bool isIdle = true;
        while (!_drain.IsCancellationRequested)
        {
            try
            {
                List<Lease> leases = await _leases.LeaseBatchAsync(host.Names, isIdle ? TimeSpan.FromSeconds(30) : options.RestAfter, _drain.Token);
                if (leases.Count > 0) await RunBatchAsync(leases, abort);
                else if (!isIdle) NativeHeap.Trim();
                isIdle = leases.Count == 0;
            }
            catch (OperationCanceledException) when (_drain.IsCancellationRequested)
            {
                return;
            }
            catch (NdifException e) when (e.Retryable)
            {
                Log.QueueUnreachable(logger, e.Message);
                await Task.Delay(TimeSpan.FromSeconds(1), time, _drain.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task RunBatchAsync(IReadOnlyList<Lease> leases, CancellationToken abort)
    {
        (host.RunningJobCount, host.LastUsed) = (leases.Count, time.GetUtcNow());
        jobs.Add(leases);
        foreach (Lease lease in leases) Log.Started(logger, lease.JobId, lease.Model, lease.Attempt, leases.Count);
        List<JobExecution> executions = [.. leases.Select(l => JobExecution.Start(l, host.Model, host.LoadedAt, _leases, backend, options, time, abort))];
        using var batchEnded = new CancellationTokenSource();
        Task[] renewals = [.. executions.Select(e => e.RenewLeaseAsync(batchEnded.Token))];
        try
        {
            await host.Thread.RunAsync(() =>
            {
                executions.ForEach(e => e.OnPassStarted());
                ProgramEngine.Run(host.Model, [.. executions.Where(e => e.Run is not null).Select(e => e.Run!)]);
                executions.ForEach(e => e.OnPassEnded());
                return true;
            });
        }
        finally
        {
            foreach (JobExecution execution in executions)
            {
                await execution.CompleteAsync(abort);
                Log.Ended(logger, execution.Lease.JobId, (execution.Error ?? execution.Run?.Error)?.Code.ToString() ?? "completed");
            }
            // a renewal that is under way may still find its lease lost, and cancels the run: only then may that go
            await batchEnded.CancelAsync();
            await Task.WhenAll(renewals);
            foreach (JobExecution execution in executions) await execution.DisposeAsync();
            jobs.Remove(leases);
            (host.RunningJobCount, host.LastUsed) = (0, time.GetUtcNow());
        }
    }
}
