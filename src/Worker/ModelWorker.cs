using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;
using Ndif.Engine;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// Who runs jobs: holds models, announces them, leases jobs for them and runs those that wait at the same moment together.
/// 1. Load the models and describe them to the gateways.
/// 2. Per model: wait for a job; take along what else waits (to <see cref="WorkerOptions.MaxBatch"/>).
/// 3. Compile each, run all in one pass on the model's thread, renewing their leases.
/// 4. Publish each job's end. Then 2 again; when nothing comes for a while, give unused memory back first.
/// Stopping finishes nothing new: jobs that run are cancelled and go back to the queue.
/// </summary>
public sealed class ModelWorker(WorkerOptions options, QueueBackend backend, ILogger<ModelWorker> log, TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly List<ModelHost> _hosts = [];
    private readonly Timestamp _started = (time ?? TimeProvider.System).GetUtcNow().ToTimestamp();
    private readonly HashSet<string> _jobs = [];

    /// <summary>Completes when the models are loaded and announced.</summary>
    public Task Ready => _ready.Task;

    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Loads, serves, and returns when it is told to stop.</summary>
    /// <param name="progress">How far loading is: model, bytes done, bytes in all.</param>
    public async Task RunAsync(IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken stopping = default)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        try
        {
            options.Validate();
            foreach (string model in options.Models) _hosts.Add(await LoadAsync(model, progress, stopping));
            foreach (ModelHost host in _hosts) await backend.Workers.DescribeAsync(host.Subject.Description, stopping);
            await AnnounceAsync(stopping);
            _ready.TrySetResult();
            await Task.WhenAll([EndTogetherAsync(HeartbeatAsync, over), .. _hosts.Select(host => EndTogetherAsync(token => ServeAsync(host, token), over))]);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // asked to stop
        }
        catch (Exception e)
        {
            _ready.TrySetException(e);
            throw;
        }
        finally
        {
            _ready.TrySetCanceled(CancellationToken.None);
            await LeaveAsync();
            foreach (ModelHost host in _hosts) host.Dispose();
        }
    }

    /// <summary>A part that fails ends the others: a worker that cannot serve must not go on saying that it lives.</summary>
    private static async Task EndTogetherAsync(Func<CancellationToken, Task> part, CancellationTokenSource over)
    {
        try
        {
            await part(over.Token);
        }
        catch
        {
            await over.CancelAsync();
            throw;
        }
    }

    private async Task<ModelHost> LoadAsync(string model, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        Log.Loading(log, model, options.Device);
        long from = _time.GetTimestamp();
        ModelHost host = await Task.Factory.StartNew(() => ModelHost.Load(model, options, progress, stopping), stopping, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Log.Loaded(log, host.Id, _time.GetElapsedTime(from).TotalSeconds);
        return host;
    }

    private async Task ServeAsync(ModelHost host, CancellationToken stopping)
    {
        bool resting = true;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                List<Lease> leases = await TakeAsync(host, resting ? TimeSpan.FromSeconds(30) : options.RestAfter, stopping);
                if (leases.Count > 0) await RunAsync(host, leases, stopping);
                else if (!resting) NativeHeap.GiveBack();
                resting = leases.Count == 0;
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (NdifException e) when (e.Retryable)
            {
                Log.QueueUnreachable(log, e.Message);
                await Task.Delay(TimeSpan.FromSeconds(1), _time, stopping);
            }
        }
    }

    /// <summary>The next job, and those that wait beside it; none if none came for so long.</summary>
    private async Task<List<Lease>> TakeAsync(ModelHost host, TimeSpan patience, CancellationToken stopping)
    {
        List<Lease> leases = [];
        while (leases.Count < options.MaxBatch)
        {
            try
            {
                Lease? lease = await backend.Jobs.LeaseAsync(options.Id, host.Names, leases.Count == 0 ? patience : TimeSpan.Zero, stopping);
                if (lease is null) break;
                leases.Add(lease);
            }
            catch (NdifException e) when (e.Retryable && leases.Count > 0)
            {
                Log.QueueUnreachable(log, e.Message);
                break; // those that are here run: thrown away, they would count as lost with a worker
            }
        }
        return leases;
    }

    private async Task RunAsync(ModelHost host, List<Lease> leases, CancellationToken stopping)
    {
        host.Running = leases.Count;
        lock (_jobs) _jobs.UnionWith(leases.Select(l => l.JobId));
        foreach (Lease lease in leases) Log.Started(log, lease.JobId, lease.Model, lease.Attempt, leases.Count);
        List<JobExecution> executions = [.. leases.Select(l => JobExecution.Begin(l, host.Subject, backend, options, _time, stopping))];
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
                await execution.EndAsync(stopping);
                Log.Ended(log, execution.Lease.JobId, (execution.Error ?? execution.Run?.Error)?.Code.ToString() ?? "completed");
            }
            // a renewal that is under way may still find its lease lost, and cancels the run: only then may that go
            await ended.CancelAsync();
            await Task.WhenAll(keeping);
            foreach (JobExecution execution in executions) await execution.DisposeAsync();
            lock (_jobs) _jobs.ExceptWith(leases.Select(l => l.JobId));
            host.Running = 0;
        }
    }

    private async Task HeartbeatAsync(CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            await Task.Delay(options.Heartbeat, _time, stopping);
            try
            {
                await AnnounceAsync(stopping);
            }
            catch (NdifException e) when (e.Retryable)
            {
                Log.QueueUnreachable(log, e.Message);
            }
        }
    }

    private Task AnnounceAsync(CancellationToken stopping)
    {
        var worker = new WorkerStatus
        {
            Id = options.Id, Device = options.Device, MemoryBytes = (ulong)Environment.WorkingSet, Started = _started, Seen = _time.GetUtcNow().ToTimestamp(),
            Version = typeof(ModelWorker).Assembly.GetName().Version?.ToString(3) ?? "",
        };
        worker.Models.AddRange(_hosts.Select(h => h.Id));
        lock (_jobs) worker.Jobs.AddRange(_jobs);
        return backend.Workers.AnnounceAsync(worker, [.. _hosts.Select(h => h.Status)], stopping);
    }

    private async Task LeaveAsync()
    {
        try
        {
            await backend.Workers.LeaveAsync(options.Id);
        }
        catch (NdifException)
        {
            // the entry vanishes by itself
        }
    }
}
