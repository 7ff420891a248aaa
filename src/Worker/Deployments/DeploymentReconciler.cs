using Microsoft.Extensions.Logging;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Worker.Residency;
using Ndif.Worker.Serving;

namespace Ndif.Worker.Deployments;

/// <summary>
/// Sees to it that this worker holds what is wanted of it. Each worker does so for itself; the right to hold a model
/// (<see cref="IDeployments.ClaimReplicaAsync"/>) keeps them from all doing the same.
/// <code>
///   news, or a heartbeat ──> 1 orders ── 2 weigh what is new ── 3 keep, or let go ── 4 fail the hopeless ── 5 load one ──> wait
/// </code>
/// 5 takes, in this order: what jobs wait for; what is pinned and missing; what fits in memory that nobody uses. Only the first two
/// evict another: the least recently used that is not pinned, and that has been here long enough to be worth its loading
/// (<see cref="JobServingLoop.EvictableFrom"/>; pinning does not wait for that). So whatever the jobs want, loading takes at most a sixth of the time.
/// </summary>
internal sealed class DeploymentReconciler(
    WorkerOptions options, QueueBackend backend, ModelResidency residency, DeviceModelLoader loader, HeartbeatPublisher heartbeat, ILogger logger, TimeProvider time)
{
    private static readonly TimeSpan _minReconcileInterval = TimeSpan.FromMilliseconds(20); // between two looks
    private static readonly TimeSpan _evictionDelay = TimeSpan.FromMilliseconds(500); // to those with free room

    private readonly Dictionary<string, DesiredModel> _desiredModels = new(StringComparer.Ordinal);
    private readonly List<Task> _evictions = [];
    private TaskCompletionSource _wakeup = NewWakeup();
    private Task _load = Task.CompletedTask;

    /// <summary>Returns when it was told to drain, or to stop.</summary>
    public async Task RunAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                TaskCompletionSource wake = _wakeup = NewWakeup();
                try
                {
                    using IChangeSubscription changes = await backend.Deployments.SubscribeAsync(options.Id, [.. _desiredModels.Values.Where(w => !w.IsServedElsewhere && residency.Find(w.Name) is null).SelectMany(w => w.Names)], stopping);
                    if (!await ReconcileAsync(progress, stopping)) return;
                    await WaitAsync(changes, wake.Task, stopping);
                }
                catch (NdifException e) when (e.Retryable)
                {
                    Log.QueueUnreachable(logger, e.Message); // what is here is served meanwhile
                    await Task.Delay(options.Heartbeat, time, stopping);
                }
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // asked to stop
        }
        finally
        {
            foreach (string name in _desiredModels.Keys) await loader.ReleaseReplicaAsync(name); // before what runs here has ended
        }
    }

    /// <summary>What came or went when it returned has done so.</summary>
    public Task WaitForLoadsAndEvictionsAsync() => Task.WhenAll([_load, .. _evictions]);

    /// <returns>False if the worker was told to leave.</returns>
    private async Task<bool> ReconcileAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        bool isStaying = await ApplyOrdersAsync(stopping); // 1
        if (!isStaying)
        {
            heartbeat.IsDraining = true;
            await heartbeat.PublishAsync(stopping);
            return false;
        }
        await UpdateFootprintsAsync(await backend.Deployments.ListAsync(stopping), stopping); // 2
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
            if (order.Evict.Length == 0) continue;
            if (_desiredModels.GetValueOrDefault(order.Evict) is { } model) model.EvictedByOperator = true;
            if (residency.Find(order.Evict) is { } loop) Evict(loop);
        }
        return isStaying;
    }

    /// <summary>Describes what is new to the gateways, so that programs for it are checked before it is loaded.</summary>
    private async Task UpdateFootprintsAsync(IReadOnlyList<Deployment> deployments, CancellationToken stopping)
    {
        foreach (string gone in _desiredModels.Keys.Except(deployments.Select(ModelNames.GetName)).ToArray())
        {
            _desiredModels.Remove(gone);
            loader.DisposeOffloaded(gone);
        }
        foreach (Deployment deployment in deployments)
        {
            string name = deployment.GetName();
            if (!_desiredModels.TryGetValue(name, out DesiredModel? model) || !model.Deployment.Equals(deployment))
            {
                bool isSame = model?.Deployment.Dtype == deployment.Dtype;
                if (!isSame) loader.DisposeOffloaded(name);
                _desiredModels[name] = model = new DesiredModel(deployment) { Footprint = isSame ? model!.Footprint : null };
            }
            if (model.Footprint is null && model.GetBlockingError(time.GetUtcNow()) is null) await UpdateFootprintsAsync(model, stopping);
        }
        heartbeat.NotLoaded = [.. _desiredModels.Values];
        foreach (DesiredModel model in _desiredModels.Values) model.CapacityError = GetCapacityError(model);
    }

    private async Task UpdateFootprintsAsync(DesiredModel model, CancellationToken stopping)
    {
        try
        {
            Deployment deployment = model.Deployment;
            model.Footprint = await Task.Factory.StartNew(() => ModelFootprint.Measure(deployment.Model, deployment.Revision.Length > 0 ? deployment.Revision : null,
                options.ToLoadOptions(DeviceModelLoader.GetScalarType(deployment)), stopping), stopping, TaskCreationOptions.LongRunning, TaskScheduler.Default);
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
        if (model.Footprint is not { } known || residency.Find(model.Name) is not null) return null;
        long retainedBytes = residency.OnDevice.Where(s => s.IsPreloaded || IsPinned(s) && !model.Deployment.Pinned).Sum(s => s.Host.WeightBytes);
        return known.Bytes > options.WeightBudget - retainedBytes ? WorkerErrors.ModelTooLarge(model.Name, known.Bytes, options.WeightBudget, retainedBytes, options.Id) : null;
    }

    /// <summary>Renews the right to what is here and comes. What is not wanted any more, or wanted fewer times, or otherwise, goes.</summary>
    private async Task RenewClaimsAsync(CancellationToken stopping)
    {
        foreach (DesiredModel model in _desiredModels.Values)
        {
            if (residency.Find(model.Name) is not { } loop)
            {
                if (residency.IsLoading(model.Name)) await backend.Deployments.ClaimReplicaAsync(model.Name, options.Id, (int)model.Deployment.Replicas, time.GetUtcNow(), stopping);
                continue;
            }
            bool keeps = await backend.Deployments.ClaimReplicaAsync(model.Name, options.Id, loop.IsPreloaded ? int.MaxValue : (int)model.Deployment.Replicas,
                loop.IsPreloaded ? DeploymentRules.AlwaysInUse : loop.Host.LastUsed, stopping);
            bool isOther = model.Deployment.Dtype is not DataType.Unspecified && model.Deployment.Dtype != loop.Host.Model.Description.Dtype;
            if (!loop.IsPreloaded && (!keeps || isOther)) Evict(loop, canOffload: !isOther);
        }
        foreach (JobServingLoop unwanted in residency.OnDevice.Where(s => !s.IsPreloaded && !s.Host.Names.Any(_desiredModels.ContainsKey))) Evict(unwanted);
        _evictions.RemoveAll(e => e.IsCompletedSuccessfully);
    }

    /// <summary>Jobs do not wait for what no worker can hold: they are told why.</summary>
    private async Task FailUnservableJobsAsync(QueueCounts counts, CancellationToken stopping)
    {
        DateTimeOffset now = time.GetUtcNow();
        List<DesiredModel> unservable = [.. _desiredModels.Values.Where(w => CountWaiting(w, counts) > 0 && residency.Find(w.Name) is null && w.GetBlockingError(now) is not null)];
        if (unservable.Count == 0) return;
        await heartbeat.PublishAsync(stopping);
        IReadOnlyList<ModelStatus> all = await backend.Workers.ListModelsAsync(stopping);
        foreach (DesiredModel model in unservable)
        {
            ModelStatus own = model.ToStatus(false, now);
            if (all.FirstOrDefault(m => m.Id == own.Id && m.Revision == own.Revision)?.Error is not { } because) continue;
            while (await backend.Jobs.LeaseAsync(options.Id, model.Names, TimeSpan.Zero, stopping) is { } lease)
            {
                Log.Hopeless(logger, lease.JobId, model.Name, because.Message);
                await backend.Jobs.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Failed, Error = WorkerErrors.NoWorkerCanLoad(model.Name, because) } }, CancellationToken.None);
            }
        }
    }

    private async Task LoadOneAsync(QueueCounts counts, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        if (!_load.IsCompleted) return;
        DateTimeOffset now = time.GetUtcNow();
        foreach (DesiredModel model in _desiredModels.Values
            .Where(w => w.Footprint is not null && residency.Find(w.Name) is null && w.GetBlockingError(now) is null)
            .OrderByDescending(w => CountWaiting(w, counts) > 0).ThenByDescending(w => w.Deployment.Pinned).ThenByDescending(w => CountWaiting(w, counts)))
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
            model.IsServedElsewhere = !await backend.Deployments.ClaimReplicaAsync(model.Name, options.Id, (int)model.Deployment.Replicas, now, stopping);
            if (model.IsServedElsewhere) continue;
            model.EvictedByOperator = false;
            residency.BeginLoad(model.Name, model.Footprint!.Bytes);
            _load = LoadAsync(model, evicted, progress, stopping);
            return;
        }
    }

    private async Task LoadAsync(DesiredModel model, IReadOnlyList<JobServingLoop> evicted, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            await heartbeat.TryPublishAsync();
            await loader.LoadOnDemandAsync(model, evicted, progress, stopping);
            model.ClearFailure();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // its jobs are back in the queue
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

    /// <summary>Who goes for a model to come: nobody for one that nobody asks for. Null if there is no room now.</summary>
    private IReadOnlyList<JobServingLoop>? SelectEvictions(DesiredModel model, bool hasWaitingJobs, DateTimeOffset now)
    {
        IEnumerable<EvictionCandidate<JobServingLoop>> evictable = hasWaitingJobs || model.Deployment.Pinned
            ? residency.OnDevice.Where(s => !s.IsPreloaded && !IsPinned(s) && (model.Deployment.Pinned || s.EvictableFrom <= now))
                .Select(s => new EvictionCandidate<JobServingLoop>(s, s.Host.WeightBytes, s.Host.RunningJobCount > 0 ? now : s.Host.LastUsed))
            : [];
        return EvictionPolicy.SelectEvictions(model.Footprint!.Bytes, options.WeightBudget is long.MaxValue ? long.MaxValue : options.WeightBudget - residency.Bytes, evictable);
    }

    private bool IsPinned(JobServingLoop loop) => loop.Host.Names.Any(name => _desiredModels.GetValueOrDefault(name)?.Deployment.Pinned == true);

    private void Evict(JobServingLoop loop, bool canOffload = true)
    {
        _evictions.Add(EvictAsync());

        async Task EvictAsync()
        {
            try
            {
                await loader.EvictAsync(loop, () => canOffload && heartbeat.NotLoaded.Any(w => w.Name == loop.Host.Name)); // if it is still wanted then
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
        model.RecordFailure(error, time.GetUtcNow(), options.FailurePause);
    }

    private static int CountWaiting(DesiredModel model, QueueCounts counts) => model.Names.Sum(name => counts.ByModel.GetValueOrDefault(name).Waiting);

    private async Task WaitAsync(IChangeSubscription changes, Task wakeup, CancellationToken stopping)
    {
        await Task.Delay(_minReconcileInterval, time, stopping);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task changed = changes.WaitAsync(options.Heartbeat, enough.Token);
        await Task.WhenAny(changed, wakeup);
        await enough.CancelAsync();
        await changed.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task WakeAfterAsync(TimeSpan delay, CancellationToken stopping)
    {
        await Task.Delay(delay, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wakeup.TrySetResult();
    }

    private static TaskCompletionSource NewWakeup() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
