using Microsoft.Extensions.Logging;
using Ndif.Engine.Scheduling;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Residency;

namespace Ndif.Worker.Serving;

/// <summary>
/// Runs the jobs of one model until it is drained:
/// 1. Lease jobs as they come, while fewer than <see cref="WorkerOptions.MaxBatch"/> run; then only those of owners that have few.
/// 2. Compile the program of each job and add it to those that run on the thread of the model (<see cref="AsyncModelScheduler"/>), while
///    its lease is renewed.
/// 3. Publish the outcome of each job when it ends. After <see cref="WorkerOptions.IdleTrimDelay"/> without a job, return unused heap
///    memory to the operating system.
/// </summary>
internal sealed class JobServingLoop(
    ModelHost host, WorkerOptions options, QueueBackend backend, LeasedJobs jobs, ILogger logger, TimeProvider time) : IDisposable
{
    private readonly CancellationTokenSource _drain = new();
    private readonly JobLeaseClient _leases = new(options, backend.Jobs, logger, time);
    private readonly AsyncModelScheduler _scheduler = new(host.Model, host.Thread, options.CacheMemoryBudget, options.ReuseMemory);
    private readonly Dictionary<Task, string> _running = []; // the jobs, and their owners
    private Task _leasing = Task.CompletedTask;
    private readonly FailureBackoff _failures = new($"leasing of jobs for {host.Name}", logger, time);

    public ModelHost Host => host;

    /// <summary>What the thread of the model does.</summary>
    public CurrentWork Work => _scheduler.Work;

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

    /// <summary>Leases no new jobs, and returns when that is certain. Running jobs go on.</summary>
    public async Task StopLeasingAsync()
    {
        await _drain.CancelAsync();
        await _leasing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Disposes the drained loop. It does not own the model.</summary>
    public void Dispose()
    {
        _scheduler.Dispose();
        _drain.Dispose();
    }

    /// <summary>A failure of the service is a warning, with its reason; one of the program is not.</summary>
    private void LogEnd(Lease lease, Error? error)
    {
        if (error?.Code is ErrorCode.Internal or ErrorCode.OutOfMemory or ErrorCode.Unavailable or ErrorCode.CorruptData
            or ErrorCode.BadCheckpoint or ErrorCode.BadTokenizer)
            Log.Failed(logger, lease.JobId, lease.Owner, error.Code.ToString(), ErrorText.Truncate(error.Message, 500));
        else Log.Ended(logger, lease.JobId, error?.Code.ToString() ?? "completed");
    }

    private async Task ServeJobsAsync(IReadOnlyList<Lease> first, CancellationToken abort)
    {
        await Task.Yield();
        foreach (Lease lease in first) _running.Add(RunAsync(lease, abort), lease.Owner);
        try
        {
            await (_leasing = LeaseJobsAsync(abort));
        }
        finally
        {
            await Task.WhenAll(_running.Keys);
        }
    }

    private async Task LeaseJobsAsync(CancellationToken abort)
    {
        bool isTrimmed = true;
        while (!_drain.IsCancellationRequested)
        {
            try
            {
                foreach (Task ended in _running.Keys.Where(job => job.IsCompletedSuccessfully).ToList()) _running.Remove(ended);
                isTrimmed &= _running.Count == 0;
                bool isFull = _running.Count >= options.MaxBatch;
                if (isFull && _running.Count >= options.MaxBatch + ExtraPlaces)
                {
                    await Task.WhenAny(_running.Keys).WaitAsync(_drain.Token);
                    continue;
                }
                TimeSpan timeout = isTrimmed ? TimeSpan.FromSeconds(30) : options.IdleTrimDelay;
                Lease? next = isFull ? await LeaseExtraAsync(timeout)
                    : await _leases.LeaseAsync(host.Names, timeout, GetWakeupDelay, [], _drain.Token);
                _failures.Succeeded();
                if (next is { } lease) _running.Add(RunAsync(lease, abort), lease.Owner);
                else if (!isTrimmed && _running.Keys.All(job => job.IsCompleted))
                {
                    NativeHeap.Trim();
                    isTrimmed = true;
                }
            }
            catch (OperationCanceledException) when (_drain.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                await _failures.WaitAsync(e, _drain.Token);
            }
        }
    }

    /// <summary>The places beyond <see cref="WorkerOptions.MaxBatch"/>, for owners that have fewer jobs here than this.</summary>
    private int ExtraPlaces => options.MaxBatch / 4;

    /// <summary>
    /// Leases a job for a place beyond <see cref="WorkerOptions.MaxBatch"/>. Returns null as soon as a running job has ended, whose place
    /// is for any owner.
    /// </summary>
    private async Task<Lease?> LeaseExtraAsync(TimeSpan timeout)
    {
        string[] exceptOwners =
            [.. _running.Values.GroupBy(owner => owner).Where(own => own.Count() >= ExtraPlaces).Select(own => own.Key)];
        using var isPlaceFree = CancellationTokenSource.CreateLinkedTokenSource(_drain.Token);
        Task<Lease?> leasing = _leases.LeaseAsync(host.Names, timeout, GetWakeupDelay, exceptOwners, isPlaceFree.Token);
        if (await Task.WhenAny([leasing, .. _running.Keys]) != leasing) await isPlaceFree.CancelAsync();
        try
        {
            return await leasing; // it may have got a job at the same moment
        }
        catch (OperationCanceledException) when (!_drain.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Of the workers that serve the model, one that runs fewer jobs gets the next one.</summary>
    private TimeSpan GetWakeupDelay()
    {
        const double MillisecondsPerJob = 2;
        return !host.HasOtherReplicas ? TimeSpan.Zero
            : TimeSpan.FromMilliseconds(MillisecondsPerJob * Math.Min(2, _running.Keys.Count(job => !job.IsCompleted)));
    }

    /// <summary>
    /// Runs one job and publishes its outcome. A failure that is not of the job ends the loop: what has become of the job is not known, and
    /// it runs again when its lease has expired, as after a crash.
    /// </summary>
    private async Task RunAsync(Lease lease, CancellationToken abort)
    {
        host.OnJobStarted(time.GetUtcNow());
        jobs.Add(lease);
        Log.Started(logger, lease.JobId, lease.Model, lease.Attempt, host.RunningJobCount);
        var execution = new JobExecution(lease, host.LoadedAt, _leases, jobs, backend, options, time, abort);
        jobs.Start(execution);
        using var ended = new CancellationTokenSource();
        Task renewal = execution.RenewLeaseAsync(ended.Token);
        bool hasOutcome = false;
        try
        {
            await execution.CompileAsync(host.Model, _drain.Token);
            if (execution.Run is { } run) await _scheduler.RunAsync(run, execution.OnRunStarted);
            execution.OnRunEnded();
            hasOutcome = true;
        }
        catch
        {
            await _drain.CancelAsync();
            throw;
        }
        finally
        {
            try
            {
                if (hasOutcome)
                {
                    await execution.CompleteAsync(abort);
                    LogEnd(lease, execution.Error ?? execution.Run?.Error);
                }
            }
            catch (Exception e)
            {
                _leases.OnPublishFailed(e);
            }
            // A renewal in progress may find its lease lost and cancel the run, so the execution is disposed after the renewal.
            await ended.CancelAsync();
            await renewal;
            await execution.DisposeAsync();
            jobs.Remove(lease);
            host.OnJobEnded(time.GetUtcNow());
        }
    }
}
