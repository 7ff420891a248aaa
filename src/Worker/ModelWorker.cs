using Microsoft.Extensions.Logging;
using Ndif.Engine.Scheduling;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Deployments;
using Ndif.Worker.Residency;
using Ndif.Worker.Serving;

namespace Ndif.Worker;

/// <summary>
/// A worker process: it holds models and runs jobs on them.
/// 1. Preload the configured models, publish their descriptions and the first heartbeat (<see cref="HeartbeatPublisher"/>).
/// 2. Serve each model (<see cref="JobServingLoop"/>), and load and evict deployments (<see cref="DeploymentReconciler"/>).
/// 3. When the worker is drained, accept no new jobs and return when the running jobs have ended. When it is stopped, do the same, but
///    cancel the jobs that still run after <see cref="WorkerOptions.ShutdownGracePeriod"/> and return them to the queue.
/// </summary>
/// <param name="endProcess">
/// Ends the process at once, if a native call that nobody waits for any more does not end (<see cref="Watchdog"/>); null to let it go on.
/// </param>
/// <param name="onDrain">Called once when an operator drains the worker; its jobs go on.</param>
public sealed class ModelWorker(
    WorkerOptions options, QueueBackend backend, ILogger<ModelWorker> logger, TimeProvider? time = null, Action? endProcess = null,
    Action? onDrain = null)
{
    private readonly TimeProvider _time = time ?? backend.Clock;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the preloaded models are loaded and the first heartbeat is published.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Runs the worker until it is stopped or drained.</summary>
    /// <param name="progress">Reports loading: the model, the bytes loaded, the bytes in total.</param>
    public async Task RunAsync(IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken stopping = default)
    {
        using var abort = new CancellationTokenSource(); // cancels running jobs, which return to the queue
        using var stopReconciling = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var stopHeartbeat = new CancellationTokenSource();
        var (residency, jobs) = (new ModelResidency(), NewLeasedJobs());
        var loader = new DeviceModelLoader(options, backend, residency, jobs, logger, _time, abort.Token);
        var heartbeat = new HeartbeatPublisher(options, backend, residency, jobs, logger, _time);
        var reconciler = new DeploymentReconciler(options, backend, residency, loader, heartbeat, jobs, logger, _time, onDrain);
        using Watchdog? watchdog =
            endProcess is null ? null : new Watchdog(options, backend, residency, jobs, logger, endProcess);
        watchdog?.Start(abort.Token);
        Task publishing = Task.CompletedTask;
        using CancellationTokenRegistration stop = stopping.Register(() => AbortAfterGrace(abort));
        try
        {
            options.Validate();
            List<JobServingLoop> preloaded = await PreloadAsync(residency, loader, heartbeat, progress, stopping); // 1
            publishing = heartbeat.RunAsync(stopHeartbeat.Token);
            _ready.TrySetResult();
            foreach (JobServingLoop loop in preloaded) loader.StartServing(loop, []); // 2
            Task reconciling = reconciler.RunAsync(progress, stopReconciling.Token);
            Task first = await Task.WhenAny(reconciling, loader.Faulted, publishing);
            await stopReconciling.CancelAsync();
            if (first != reconciling) await abort.CancelAsync(); // a worker that cannot serve must not keep publishing heartbeats
            await reconciling;
            await Task.WhenAll(reconciler.WaitForLoadsAndEvictionsAsync(), DrainAsync(residency, heartbeat)); // 3
            await first;
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // stopped before it served
        }
        catch (Exception e)
        {
            _ready.TrySetException(e);
            throw;
        }
        finally
        {
            _ready.TrySetCanceled(CancellationToken.None);
            await abort.CancelAsync();
            await stopHeartbeat.CancelAsync();
            await publishing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await heartbeat.UnregisterAsync();
            foreach (JobServingLoop loop in residency.OnDeviceOrEvicting)
            {
                await loop.DrainAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                loop.Dispose();
                loop.Host.Dispose();
            }
            foreach (ModelHost offloaded in residency.Offloaded) offloaded.Dispose();
        }
    }

    private async Task<List<JobServingLoop>> PreloadAsync(
        ModelResidency residency, DeviceModelLoader loader, HeartbeatPublisher heartbeat,
        IProgress<(string What, long Done, long Total)>? progress, CancellationToken stopping)
    {
        List<JobServingLoop> loaded = [];
        foreach (string model in options.Models.Distinct(StringComparer.Ordinal))
        {
            JobServingLoop loop = await loader.PreloadAsync(model, progress, stopping);
            residency.Add(loop);
            loaded.Add(loop);
            if (options.Memory is { } memory && residency.Bytes > memory)
                throw WorkerErrors.PreloadedModelsTooLarge(residency.Bytes, memory);
        }
        // Redis may still load its data, or be absent: the worker waits for it, and the log says so
        var failures = new FailureBackoff("registration of the worker", logger, _time);
        foreach (JobServingLoop loop in loaded)
            await failures.RepeatAsync(() => backend.Workers.SetDescriptionAsync(loop.Host.Model.Description, stopping), stopping);
        await failures.RepeatAsync(() => heartbeat.PublishAsync(stopping), stopping);
        return loaded;
    }

    private static async Task DrainAsync(ModelResidency residency, HeartbeatPublisher heartbeat)
    {
        heartbeat.IsDraining = true;
        Task ended = Task.WhenAll(residency.OnDeviceOrEvicting.Select(loop => loop.DrainAsync()));
        await heartbeat.TryPublishAsync();
        await ended;
    }

    private LeasedJobs NewLeasedJobs() =>
        new(options.AllJobsMemoryBudget is < long.MaxValue and var bytes ? new OwnerMemory(bytes) : null);

    private void AbortAfterGrace(CancellationTokenSource abort)
    {
        if (options.ShutdownGracePeriod == TimeSpan.Zero) abort.Cancel();
        else abort.CancelAfter(options.ShutdownGracePeriod);
    }
}
