using Microsoft.Extensions.Logging;
using Ndif.Engine;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Residency;

namespace Ndif.Worker.Serving;

/// <summary>
/// Runs the jobs of one model until it is drained:
/// 1. Lease a job, and with it the jobs that wait as well, up to <see cref="WorkerOptions.MaxBatch"/>.
/// 2. Compile the programs, then run them as one batch on the thread of the model while their leases are renewed.
/// 3. Publish the outcome of each job and start again. After <see cref="WorkerOptions.IdleTrimDelay"/> without a job, return unused heap
///    memory to the operating system.
/// </summary>
internal sealed class JobServingLoop(
    ModelHost host, WorkerOptions options, QueueBackend backend, LeasedJobs jobs, ILogger logger, TimeProvider time) : IDisposable
{
    private readonly CancellationTokenSource _drain = new();
    private readonly JobLeaseClient _leases = new(options, backend.Jobs, logger, time);

    public ModelHost Host => host;

    /// <summary>True for a model that was loaded at the start of the worker. It is evicted only by an operator.</summary>
    public bool IsPreloaded { get; init; }

    /// <summary>
    /// The earliest time at which the model can be evicted for another: <see cref="WorkerOptions.MinResidence"/> after its load, or five
    /// times its load time if that is longer, so that loading takes at most a sixth of the time.
    /// </summary>
    public DateTimeOffset EvictableFrom =>
        host.LoadedAt + (options.MinResidence > 5 * host.LoadTime ? options.MinResidence : 5 * host.LoadTime);

    /// <summary>Completes when the loop was drained; faults if it cannot continue.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>Starts the loop.</summary>
    /// <param name="first">Jobs that were leased while the model was loaded; they run first.</param>
    /// <param name="abort">Cancels the running jobs, which return to the queue.</param>
    public void Start(IReadOnlyList<Lease> first, CancellationToken abort) => Completion = ServeJobsAsync(first, abort);

    /// <summary>Leases no new jobs, and returns when the running jobs have ended.</summary>
    public async Task DrainAsync()
    {
        if (!Completion.IsCompleted) await _drain.CancelAsync();
        await Completion;
    }

    /// <summary>Disposes the drained loop. It does not own the model.</summary>
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
                List<Lease> leases = await _leases.LeaseBatchAsync(
                    host.Names, isIdle ? TimeSpan.FromSeconds(30) : options.IdleTrimDelay, _drain.Token);
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
        List<JobExecution> executions =
            [.. leases.Select(lease => JobExecution.Start(lease, host.Model, host.LoadedAt, _leases, backend, options, time, abort))];
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
            // A renewal in progress may find its lease lost and cancel the run, so the executions are disposed after the renewals.
            await batchEnded.CancelAsync();
            await Task.WhenAll(renewals);
            foreach (JobExecution execution in executions) await execution.DisposeAsync();
            jobs.Remove(leases);
            (host.RunningJobCount, host.LastUsed) = (0, time.GetUtcNow());
        }
    }
}
