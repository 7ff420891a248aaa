using Microsoft.Extensions.Logging;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Worker.Residency;
using Ndif.Worker.Serving;

namespace Ndif.Worker.Deployments;

/// <summary>
/// Reconciles the models of this worker with the deployments of the service, like a Kubernetes controller: it compares the desired state
/// with the actual state and acts on the difference. Every worker does this on its own; replica claims
/// (<see cref="IDeployments.ClaimReplicaAsync"/>) limit how many workers load the same model. After every change and at every heartbeat:
/// 1. Apply the orders of operators: drain, evict, kill.
/// 2. Measure new deployments and publish their descriptions, so that the gateway can validate programs before the model is loaded.
/// 3. Renew the claims of loaded models, and evict the models that are no longer wanted.
/// 4. Fail the jobs that wait for a model which no worker can load.
/// 5. Load one model, in this order of preference: a model that jobs wait for, a pinned model, a model that fits into free memory.
/// Only the first two evict other models: the least recently used ones that are not pinned and, unless the new model is pinned, have been
/// loaded for long enough (<see cref="JobServingLoop.EvictableFrom"/>). Loading therefore takes at most a sixth of the time, whatever
/// models the jobs alternate between.
/// </summary>
internal sealed class DeploymentReconciler(
    WorkerOptions options, QueueBackend backend, ModelResidency residency, DeviceModelLoader loader, HeartbeatPublisher heartbeat,
    LeasedJobs jobs, ILogger logger, TimeProvider time, Action? onDrain)
{
    private static readonly TimeSpan _minReconcileInterval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan _evictionDelay = TimeSpan.FromMilliseconds(500); // gives workers with free memory precedence

    private readonly Dictionary<string, DesiredModel> _desiredModels = new(StringComparer.Ordinal);
    private readonly List<Task> _evictions = [];
    private readonly FailureBackoff _failures = new("reconciliation of deployments", logger, time);
    private TaskCompletionSource _wakeup = NewWakeup();
    private Task _load = Task.CompletedTask;

    /// <summary>Reconciles until the worker is drained or stopped.</summary>
    public async Task RunAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                TaskCompletionSource wakeup = _wakeup = NewWakeup();
                try
                {
                    string[] awaitedModels = [.. _desiredModels.Values
                        .Where(model => !model.IsServedElsewhere && residency.Find(model.Name) is null).SelectMany(model => model.Names)];
                    using IChangeSubscription changes = await backend.Deployments.SubscribeAsync(options.Id, awaitedModels, stopping);
                    if (!await ReconcileAsync(progress, stopping)) return;
                    _failures.Succeeded();
                    await WaitForChangeAsync(changes, wakeup.Task, stopping);
                }
                catch (Exception e) when (!stopping.IsCancellationRequested)
                {
                    await _failures.WaitAsync(e, stopping); // loaded models are served in the meantime
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // stopped
        }
        finally
        {
            // other workers can load while jobs still run here
            foreach (string name in _desiredModels.Keys) await loader.ReleaseReplicaAsync(name);
        }
    }

    /// <summary>Completes when the loads and evictions that were running when <see cref="RunAsync"/> returned have ended.</summary>
    public Task WaitForLoadsAndEvictionsAsync() => Task.WhenAll([_load, .. _evictions]);

    /// <returns>False if an operator drained the worker.</returns>
    private async Task<bool> ReconcileAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        bool isStaying = await ApplyOrdersAsync(stopping); // 1
        if (!isStaying)
        {
            onDrain?.Invoke();
            heartbeat.IsDraining = true;
            await heartbeat.TryPublishAsync(); // the order was taken from the queue, so nothing may prevent that it is followed
            return false;
        }
        await UpdateDesiredModelsAsync(await backend.Deployments.ListAsync(stopping), stopping); // 2
        await RenewClaimsAsync(stopping); // 3
        QueueCounts counts = await backend.Jobs.CountAsync(stopping);
        await FailUnservableJobsAsync(counts, stopping); // 4
        await LoadOneAsync(counts, progress, stopping); // 5
        return true;
    }

    private async Task<bool> ApplyOrdersAsync(CancellationToken stopping)
    {
        bool isStaying = true;
        foreach (WorkerOrder order in await backend.Deployments.DequeueOrdersAsync(options.Id, stopping))
        {
            if (order.Drain) isStaying = false;
            if (order.Kill.Length > 0) jobs.Kill(order.Kill);
            if (order.Evict.Length == 0) continue;
            if (_desiredModels.GetValueOrDefault(order.Evict) is { } model) model.EvictedByOperator = true;
            if (residency.Find(order.Evict) is { } loop) Evict(loop);
        }
        return isStaying;
    }

    private async Task UpdateDesiredModelsAsync(IReadOnlyList<Deployment> deployments, CancellationToken stopping)
    {
        foreach (string removed in _desiredModels.Keys.Except(deployments.Select(ModelNames.GetName)).ToArray())
        {
            _desiredModels.Remove(removed);
            loader.DisposeOffloaded(removed);
        }
        foreach (Deployment deployment in deployments)
        {
            string name = deployment.GetName();
            if (!_desiredModels.TryGetValue(name, out DesiredModel? model) || !model.Deployment.Equals(deployment))
            {
                bool isSameDtype = model?.Deployment.Dtype == deployment.Dtype;
                if (!isSameDtype) loader.DisposeOffloaded(name);
                _desiredModels[name] = model = new DesiredModel(deployment) { Footprint = isSameDtype ? model!.Footprint : null };
            }
            if (model.Footprint is null && model.GetBlockingError(time.GetUtcNow()) is null) await MeasureFootprintAsync(model, stopping);
        }
        heartbeat.Deployments = [.. _desiredModels.Values];
        foreach (DesiredModel model in _desiredModels.Values) model.CapacityError = GetCapacityError(model);
    }

    private async Task MeasureFootprintAsync(DesiredModel model, CancellationToken stopping)
    {
        try
        {
            Deployment deployment = model.Deployment;
            string? revision = deployment.Revision.Length > 0 ? deployment.Revision : null;
            LoadOptions loadOptions = options.ToLoadOptions(DeviceModelLoader.GetScalarType(deployment));
            model.Footprint = await Task.Factory.StartNew(
                () => ModelFootprint.Measure(deployment.Model, revision, loadOptions, stopping),
                stopping, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await backend.Workers.SetDescriptionAsync(model.Footprint.Description, model.Names, stopping);
        }
        catch (Exception e) when (Errors.FromException(e) is { Code: not (ErrorCode.JobCancelled or ErrorCode.Unavailable) } error)
        {
            RecordFailure(model, error);
            await heartbeat.PublishAsync(stopping);
        }
    }

    private Error? GetCapacityError(DesiredModel model)
    {
        if (model.Footprint is not { } footprint || residency.Find(model.Name) is not null) return null;
        long retainedBytes = residency.OnDevice
            .Where(loop => loop.IsPreloaded || IsPinned(loop) && !model.Deployment.Pinned).Sum(loop => loop.Host.WeightBytes);
        return footprint.Bytes > options.WeightBudget - retainedBytes
            ? WorkerErrors.ModelTooLarge(model.Name, footprint.Bytes, options.WeightBudget, retainedBytes, options.Id)
            : null;
    }

    /// <summary>
    /// Renews the claims of models that are loaded or loading. Evicts models that are no longer deployed, that have too many replicas,
    /// or whose element type has changed.
    /// </summary>
    private async Task RenewClaimsAsync(CancellationToken stopping)
    {
        foreach (DesiredModel model in _desiredModels.Values)
        {
            if (residency.Find(model.Name) is not { } loop)
            {
                if (residency.IsLoading(model.Name))
                    await backend.Deployments.ClaimReplicaAsync(
                        model.Name, options.Id, (int)model.Deployment.Replicas, time.GetUtcNow(), stopping);
                continue;
            }
            bool hasClaim = await backend.Deployments.ClaimReplicaAsync(
                model.Name, options.Id, loop.IsPreloaded ? int.MaxValue : (int)model.Deployment.Replicas,
                loop.IsPreloaded ? DeploymentRules.AlwaysInUse : loop.Host.LastUsed, stopping);
            bool isOtherDtype = model.Deployment.Dtype is not DataType.Unspecified
                && model.Deployment.Dtype != loop.Host.Model.Description.Dtype;
            if (!loop.IsPreloaded && (!hasClaim || isOtherDtype)) Evict(loop, canOffload: !isOtherDtype);
        }
        foreach (JobServingLoop loop in residency.OnDevice.Where(
            loop => !loop.IsPreloaded && !loop.Host.Names.Any(_desiredModels.ContainsKey)))
            Evict(loop);
        _evictions.RemoveAll(eviction => eviction.IsCompletedSuccessfully);
    }

    /// <summary>Fails the jobs that wait for a model which no worker can load, with the reason.</summary>
    private async Task FailUnservableJobsAsync(QueueCounts counts, CancellationToken stopping)
    {
        DateTimeOffset now = time.GetUtcNow();
        List<DesiredModel> unservable = [.. _desiredModels.Values.Where(model =>
            CountWaiting(model, counts) > 0 && residency.Find(model.Name) is null && model.GetBlockingError(now) is not null)];
        if (unservable.Count == 0) return;
        await heartbeat.PublishAsync(stopping);
        IReadOnlyList<ModelStatus> all = await backend.Workers.ListModelsAsync(stopping);
        foreach (DesiredModel model in unservable)
        {
            ModelStatus own = model.ToStatus(false, now);
            // the merged status has an error only if every worker has one
            if (all.FirstOrDefault(m => m.Id == own.Id && m.Revision == own.Revision)?.Error is not { } cause) continue;
            Error error = WorkerErrors.NoWorkerCanLoad(model.Name, cause);
            foreach (string job in await backend.Jobs.FailWaitingAsync(options.Id, model.Names, error, stopping))
                Log.Unservable(logger, job, model.Name, cause.Message);
        }
    }

    private async Task LoadOneAsync(QueueCounts counts, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        if (!_load.IsCompleted) return;
        DateTimeOffset now = time.GetUtcNow();
        foreach (DesiredModel model in _desiredModels.Values
            .Where(model => model.Footprint is not null && residency.Find(model.Name) is null && model.GetBlockingError(now) is null)
            .OrderByDescending(model => CountWaiting(model, counts) > 0)
            .ThenByDescending(model => model.Deployment.Pinned)
            .ThenByDescending(model => CountWaiting(model, counts)))
        {
            bool hasWaitingJobs = CountWaiting(model, counts) > 0;
            if (model.EvictedByOperator && !hasWaitingJobs) continue;
            if (SelectEvictions(model, hasWaitingJobs, now) is not { } evicted) continue;
            if ((evicted.Count > 0 || model.EvictedByOperator) && now - (model.WaitingForCapacitySince ??= now) < _evictionDelay)
            {
                _ = WakeAfterAsync(_evictionDelay, stopping);
                continue;
            }
            model.WaitingForCapacitySince = null;
            model.IsServedElsewhere = !await backend.Deployments.ClaimReplicaAsync(
                model.Name, options.Id, (int)model.Deployment.Replicas, now, stopping);
            if (model.IsServedElsewhere) continue;
            model.EvictedByOperator = false;
            residency.BeginLoad(model.Name, model.Footprint!.Bytes);
            _load = LoadAsync(model, evicted, progress, stopping);
            return;
        }
    }

    private async Task LoadAsync(
        DesiredModel model, IReadOnlyList<JobServingLoop> evicted, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            await heartbeat.TryPublishAsync();
            await loader.LoadOnDemandAsync(model, evicted, progress, stopping);
            model.ClearFailure();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // the jobs that waited for it have returned to the queue
        }
        catch (NdifException e) when (e is { Code: ErrorCode.Unavailable, Retryable: true })
        {
            Log.QueueUnreachable(logger, e.Message); // not a failure of the model: it is loaded as soon as the queue answers
            await loader.ReleaseReplicaAsync(model.Name);
        }
        catch (Exception e)
        {
            RecordFailure(model, WorkerErrors.FromLoadFailure(model.Name, e));
            await loader.ReleaseReplicaAsync(model.Name);
        }
        finally
        {
            residency.EndLoad(model.Name);
            await heartbeat.TryPublishAsync();
            _wakeup.TrySetResult();
        }
    }

    /// <summary>
    /// Returns the models to evict so that this model fits, or null if it does not fit now. A model that is neither pinned nor waited for
    /// evicts no other.
    /// </summary>
    private IReadOnlyList<JobServingLoop>? SelectEvictions(DesiredModel model, bool hasWaitingJobs, DateTimeOffset now)
    {
        IEnumerable<EvictionCandidate<JobServingLoop>> evictable = hasWaitingJobs || model.Deployment.Pinned
            ? residency.OnDevice
                .Where(loop => !loop.IsPreloaded && !IsPinned(loop) && (model.Deployment.Pinned || loop.EvictableFrom <= now))
                .Select(loop => new EvictionCandidate<JobServingLoop>(
                    loop, loop.Host.WeightBytes, loop.Host.RunningJobCount > 0 ? now : loop.Host.LastUsed))
            : [];
        long freeBytes = options.WeightBudget is long.MaxValue ? long.MaxValue : options.WeightBudget - residency.Bytes;
        return EvictionPolicy.SelectEvictions(model.Footprint!.Bytes, freeBytes, evictable);
    }

    private bool IsPinned(JobServingLoop loop) =>
        loop.Host.Names.Any(name => _desiredModels.GetValueOrDefault(name)?.Deployment.Pinned == true);

    private void Evict(JobServingLoop loop, bool canOffload = true)
    {
        _evictions.Add(EvictAsync());

        async Task EvictAsync()
        {
            try
            {
                // offloads the model if it is still deployed when its jobs have ended
                await loader.EvictAsync(loop, () => canOffload && heartbeat.Deployments.Any(model => model.Name == loop.Host.Name));
                await heartbeat.TryPublishAsync();
            }
            finally
            {
                _wakeup.TrySetResult();
            }
        }
    }

    private void RecordFailure(DesiredModel model, Error error)
    {
        Log.LoadFailed(logger, model.Name, error.Message);
        model.RecordFailure(error, time.GetUtcNow(), options.LoadRetryDelay);
    }

    private static int CountWaiting(DesiredModel model, QueueCounts counts) =>
        model.Names.Sum(name => counts.ByModel.GetValueOrDefault(name).Waiting);

    private async Task WaitForChangeAsync(IChangeSubscription changes, Task wakeup, CancellationToken stopping)
    {
        await Task.Delay(_minReconcileInterval, time, stopping);
        using var woken = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task changed = changes.WaitAsync(options.HeartbeatInterval, woken.Token);
        await Task.WhenAny(changed, wakeup);
        await woken.CancelAsync();
        await changed.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task WakeAfterAsync(TimeSpan delay, CancellationToken stopping)
    {
        await Task.Delay(delay, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wakeup.TrySetResult();
    }

    private static TaskCompletionSource NewWakeup() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
