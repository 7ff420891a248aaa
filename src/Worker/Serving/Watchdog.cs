using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Queue;
using Ndif.Worker.Residency;

namespace Ndif.Worker.Serving;

/// <summary>
/// Ends a worker whose model thread is in a native call that nobody waits for any more (docs/decisions/0015-a-worker-can-be-killed.md):
/// 1. A thread of its own looks at what each model thread does. A call for jobs that all have been stopped (cancelled, over their limit, or
///    the worker stops) should end soon, because statements and modules look at the cancellation.
/// 2. If it lasts longer than <see cref="WorkerOptions.UnresponsiveTimeout"/>, its jobs are at fault. One that is over its limit fails,
///    with the operation or module.
/// 3. All other jobs return to the queue, which does not count as a lost lease.
/// 4. The process ends; a supervisor or an orchestrator starts the worker again.
/// </summary>
/// <param name="endProcess">Ends the process at once. The thread in the native call cannot be waited for.</param>
internal sealed class Watchdog(
    WorkerOptions options, QueueBackend backend, ModelResidency residency, LeasedJobs jobs, ILogger logger, Action endProcess) : IDisposable
{
    /// <summary>The grace period of a job that an operator kills.</summary>
    private static readonly TimeSpan _killTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The longest grace period when the worker stops: its jobs run again in any case.</summary>
    private static readonly TimeSpan _stopTimeout = TimeSpan.FromSeconds(5);

    /// <summary>How long the queue may take to note the end of the jobs.</summary>
    private static readonly TimeSpan _queueTimeout = TimeSpan.FromSeconds(10);

    private readonly ManualResetEventSlim _stopped = new();
    private readonly Dictionary<JobServingLoop, (long Version, long Since)> _stoppedWork = [];
    private Thread? _thread;

    /// <param name="stopping">Cancelled when the worker cancels its jobs because it stops.</param>
    public void Start(CancellationToken stopping)
    {
        TimeSpan interval = options.UnresponsiveTimeout / 10;
        if (interval > _killTimeout / 5) interval = _killTimeout / 5;
        _thread = new Thread(() =>
        {
            while (!_stopped.Wait(interval))
                if (residency.OnDeviceOrEvicting.Any(loop => HasEndedWorker(loop, stopping.IsCancellationRequested))) return;
        }) { IsBackground = true, Name = "watchdog" };
        _thread.Start();
    }

    public void Dispose()
    {
        _stopped.Set();
        _thread?.Join();
        _stopped.Dispose();
    }

    /// <summary>Looks at one model thread. Returns true if it has ended the worker.</summary>
    private bool HasEndedWorker(JobServingLoop loop, bool isStopping)
    {
        long version = loop.Work.Version;
        IReadOnlyList<JobRun> runs = loop.Work.Jobs;
        if (runs.Count == 0 || !runs.All(run => run.IsStopped)) // 1
        {
            _stoppedWork.Remove(loop);
            return false;
        }
        if (!_stoppedWork.TryGetValue(loop, out var work) || work.Version != version)
        {
            _stoppedWork[loop] = (version, Stopwatch.GetTimestamp());
            return false;
        }
        JobExecution[] suspects =
            [.. jobs.All.Select(job => job.Execution).OfType<JobExecution>().Where(job => job.Run is { } run && runs.Contains(run))];
        TimeSpan timeout = options.UnresponsiveTimeout;
        if (isStopping && timeout > _stopTimeout) timeout = _stopTimeout;
        if (suspects.Any(job => jobs.IsKilled(job.Lease.JobId)) && timeout > _killTimeout) timeout = _killTimeout;
        TimeSpan elapsed = Stopwatch.GetElapsedTime(work.Since);
        if (elapsed < timeout || loop.Work.Describe(version) is not var (what, node)) return false;
        EndWorker(loop, suspects, what, node, elapsed);
        return true;
    }

    private void EndWorker(JobServingLoop loop, JobExecution[] suspects, string what, uint? node, TimeSpan elapsed)
    {
        foreach (JobExecution job in suspects)
            Log.Unresponsive(logger, job.Lease.JobId, job.Lease.Owner, loop.Host.Name, what, elapsed.TotalSeconds);
        Telemetry.RecordUnresponsive(loop.Host.Name);
        try
        {
            // a job that returns now must not come back here
            Task stopped = Task.WhenAll(residency.OnDeviceOrEvicting.Select(serving => serving.StopLeasingAsync()));
            stopped.Wait(_queueTimeout);
            var others = jobs.All.Where(job => !suspects.Contains(job.Execution)).ToArray();
            Task noted = Task.WhenAll(
            [
                .. suspects.Select(job => job.EndUnresponsiveAsync(what, node)), // 2
                .. others.Select(job => backend.Jobs.ReturnAsync(job.Lease)), // 3
            ]);
            if (!noted.Wait(_queueTimeout)) Log.UnresponsiveNotNoted(logger, "the queue did not answer");
            // what they would have sent later is counted nowhere
            Task.WhenAll(jobs.All.Select(job => job.Execution).OfType<JobExecution>().Select(job => job.RevokeUnpublishedAsync()))
                .Wait(_queueTimeout);
            backend.Workers.UnregisterAsync(options.Id).Wait(_queueTimeout);
        }
        catch (AggregateException e)
        {
            Log.UnresponsiveNotNoted(logger, e.GetBaseException().Message); // the leases expire
        }
        endProcess(); // 4
    }
}
