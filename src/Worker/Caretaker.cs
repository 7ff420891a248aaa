using Microsoft.Extensions.Logging;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>
/// Sees to it that this worker holds what is wanted of it. Each worker does so for itself; the right to hold a model
/// (<see cref="IDeployments.HoldAsync"/>) keeps them from all doing the same.
/// <code>
///   news, or a heartbeat ──> 1 orders ── 2 weigh what is new ── 3 keep, or let go ── 4 fail the hopeless ── 5 load one ──> wait
/// </code>
/// 5 takes, in this order: what jobs wait for; what is pinned and missing; what fits in memory that nobody uses. Only the first two
/// evict another: the least recently used that is not pinned, and that has been here long enough to be worth its loading
/// (<see cref="Serving.StaysUntil"/>; pinning does not wait for that). So whatever the jobs want, loading takes at most a sixth of the time.
/// </summary>
internal sealed class Caretaker(
    WorkerOptions options, QueueBackend backend, Residents residents, Loader loader, Presence presence, ILogger log, TimeProvider time)
{
    private static readonly TimeSpan s_shortest = TimeSpan.FromMilliseconds(20); // between two looks
    private static readonly TimeSpan s_courtesy = TimeSpan.FromMilliseconds(500); // to those with free room

    private readonly Dictionary<string, WantedModel> _wanted = new(StringComparer.Ordinal);
    private readonly List<Task> _evictions = [];
    private TaskCompletionSource _wake = NewWake();
    private Task _load = Task.CompletedTask;

    /// <summary>Returns when it was told to drain, or to stop.</summary>
    public async Task RunAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                TaskCompletionSource wake = _wake = NewWake();
                try
                {
                    using INews news = await backend.Deployments.ListenAsync(options.Id, [.. _wanted.Values.Where(w => !w.IsHeldElsewhere && residents.Find(w.Name) is null).SelectMany(w => w.Names)], stopping);
                    if (!await LookAsync(progress, stopping)) return;
                    await WaitAsync(news, wake.Task, stopping);
                }
                catch (NdifException e) when (e.Retryable)
                {
                    Log.QueueUnreachable(log, e.Message); // what is here is served meanwhile
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
            foreach (string name in _wanted.Keys) await loader.LetGoAsync(name); // before what runs here has ended
        }
    }

    /// <summary>What came or went when it returned has done so.</summary>
    public Task EndAsync() => Task.WhenAll([_load, .. _evictions]);

    /// <returns>False if the worker was told to leave.</returns>
    private async Task<bool> LookAsync(IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        bool stays = await ObeyAsync(stopping); // 1
        if (!stays)
        {
            presence.IsDraining = true;
            await presence.AnnounceAsync(stopping);
            return false;
        }
        await WeighAsync(await backend.Deployments.ListAsync(stopping), stopping); // 2
        await KeepAsync(stopping); // 3
        QueueCounts counts = await backend.Jobs.CountAsync(stopping);
        await FailHopelessAsync(counts, stopping); // 4
        await LoadOneAsync(counts, progress, stopping); // 5
        return true;
    }

    private async Task<bool> ObeyAsync(CancellationToken stopping)
    {
        bool stays = true;
        foreach (WorkerOrder order in await backend.Deployments.TakeOrdersAsync(options.Id, stopping))
        {
            if (order.Drain) stays = false;
            if (order.Evict.Length == 0) continue;
            if (_wanted.GetValueOrDefault(order.Evict) is { } wanted) wanted.IsPutAway = true;
            if (residents.Find(order.Evict) is { } serving) Evict(serving);
        }
        return stays;
    }

    /// <summary>Describes what is new to the gateways, so that programs for it are checked before it is loaded.</summary>
    private async Task WeighAsync(IReadOnlyList<Deployment> deployments, CancellationToken stopping)
    {
        foreach (string gone in _wanted.Keys.Except(deployments.Select(DeploymentRules.NameOf)).ToArray())
        {
            _wanted.Remove(gone);
            loader.DropWarm(gone);
        }
        foreach (Deployment deployment in deployments)
        {
            string name = DeploymentRules.NameOf(deployment);
            if (!_wanted.TryGetValue(name, out WantedModel? wanted) || !wanted.Deployment.Equals(deployment))
            {
                bool isSame = wanted?.Deployment.Dtype == deployment.Dtype;
                if (!isSame) loader.DropWarm(name);
                _wanted[name] = wanted = new WantedModel(deployment) { Weighed = isSame ? wanted!.Weighed : null };
            }
            if (wanted.Weighed is null && wanted.Obstacle(time.GetUtcNow()) is null) await WeighAsync(wanted, stopping);
        }
        presence.Absent = [.. _wanted.Values];
        foreach (WantedModel wanted in _wanted.Values) wanted.Misfit = MisfitOf(wanted);
    }

    private async Task WeighAsync(WantedModel wanted, CancellationToken stopping)
    {
        try
        {
            Deployment deployment = wanted.Deployment;
            wanted.Weighed = await Task.Factory.StartNew(() => WeighedModel.Of(deployment.Model, deployment.Revision.Length > 0 ? deployment.Revision : null,
                options.LoadOptions(Loader.ScalarTypeOf(deployment)), stopping), stopping, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            await backend.Workers.DescribeAsync(wanted.Weighed.Description, wanted.Names, stopping);
        }
        catch (Exception e) when (Errors.Of(e) is { Code: not (ErrorCode.JobCancelled or ErrorCode.Unavailable) } error)
        {
            Failed(wanted, error);
            await presence.AnnounceAsync(stopping);
        }
    }

    private Error? MisfitOf(WantedModel wanted)
    {
        if (wanted.Weighed is not { } known || residents.Find(wanted.Name) is not null) return null;
        long stay = residents.Hot.Where(s => s.IsFixed || IsPinned(s) && !wanted.Deployment.Pinned).Sum(s => s.Host.Bytes);
        return known.Bytes > options.Budget - stay ? WorkerErrors.TooLarge(wanted.Name, known.Bytes, options.Budget, stay, options.Id) : null;
    }

    /// <summary>Renews the right to what is here and comes. What is not wanted any more, or wanted fewer times, or otherwise, goes.</summary>
    private async Task KeepAsync(CancellationToken stopping)
    {
        foreach (WantedModel wanted in _wanted.Values)
        {
            if (residents.Find(wanted.Name) is not { } serving)
            {
                if (residents.IsComing(wanted.Name)) await backend.Deployments.HoldAsync(wanted.Name, options.Id, (int)wanted.Deployment.Replicas, time.GetUtcNow(), stopping);
                continue;
            }
            bool keeps = await backend.Deployments.HoldAsync(wanted.Name, options.Id, serving.IsFixed ? int.MaxValue : (int)wanted.Deployment.Replicas,
                serving.IsFixed ? DeploymentRules.Always : serving.Host.LastUsed, stopping);
            bool isOther = wanted.Deployment.Dtype is not DataType.Unspecified && wanted.Deployment.Dtype != serving.Host.Subject.Description.Dtype;
            if (!serving.IsFixed && (!keeps || isOther)) Evict(serving, isSame: !isOther);
        }
        foreach (Serving unwanted in residents.Hot.Where(s => !s.IsFixed && !s.Host.Names.Any(_wanted.ContainsKey))) Evict(unwanted);
        _evictions.RemoveAll(e => e.IsCompletedSuccessfully);
    }

    /// <summary>Jobs do not wait for what no worker can hold: they are told why.</summary>
    private async Task FailHopelessAsync(QueueCounts counts, CancellationToken stopping)
    {
        DateTimeOffset now = time.GetUtcNow();
        List<WantedModel> hopeless = [.. _wanted.Values.Where(w => Waiting(w, counts) > 0 && residents.Find(w.Name) is null && w.Obstacle(now) is not null)];
        if (hopeless.Count == 0) return;
        await presence.AnnounceAsync(stopping);
        IReadOnlyList<ModelStatus> all = await backend.Workers.ModelsAsync(stopping);
        foreach (WantedModel wanted in hopeless)
        {
            ModelStatus own = wanted.Status(false, now);
            if (all.FirstOrDefault(m => m.Id == own.Id && m.Revision == own.Revision)?.Error is not { } because) continue;
            while (await backend.Jobs.LeaseAsync(options.Id, wanted.Names, TimeSpan.Zero, stopping) is { } lease)
            {
                Log.Hopeless(log, lease.JobId, wanted.Name, because.Message);
                await backend.Jobs.PublishAsync(lease, new Event { State = new StateChanged { State = JobState.Failed, Error = WorkerErrors.NoWorkerHolds(wanted.Name, because) } }, CancellationToken.None);
            }
        }
    }

    private async Task LoadOneAsync(QueueCounts counts, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        if (!_load.IsCompleted) return;
        DateTimeOffset now = time.GetUtcNow();
        foreach (WantedModel wanted in _wanted.Values
            .Where(w => w.Weighed is not null && residents.Find(w.Name) is null && w.Obstacle(now) is null)
            .OrderByDescending(w => Waiting(w, counts) > 0).ThenByDescending(w => w.Deployment.Pinned).ThenByDescending(w => Waiting(w, counts)))
        {
            bool isWaitedFor = Waiting(wanted, counts) > 0;
            if (wanted.IsPutAway && !isWaitedFor) continue;
            if (RoomFor(wanted, isWaitedFor, now) is not { } instead) continue;
            if ((instead.Count > 0 || wanted.IsPutAway) && now - (wanted.TightSince ??= now) < s_courtesy)
            {
                _ = WakeInAsync(s_courtesy, stopping);
                continue;
            }
            wanted.TightSince = null;
            wanted.IsHeldElsewhere = !await backend.Deployments.HoldAsync(wanted.Name, options.Id, (int)wanted.Deployment.Replicas, now, stopping);
            if (wanted.IsHeldElsewhere) continue;
            wanted.IsPutAway = false;
            residents.Expect(wanted.Name, wanted.Weighed!.Bytes);
            _load = BringAsync(wanted, instead, progress, stopping);
            return;
        }
    }

    private async Task BringAsync(WantedModel wanted, IReadOnlyList<Serving> instead, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        try
        {
            await presence.TryAnnounceAsync();
            await loader.BringAsync(wanted, instead, progress, stopping);
            wanted.Succeeded();
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // its jobs are back in the queue
        }
        catch (Exception e)
        {
            Failed(wanted, WorkerErrors.OfLoad(wanted.Name, e));
            await loader.LetGoAsync(wanted.Name);
        }
        finally
        {
            residents.Abandon(wanted.Name);
            await presence.TryAnnounceAsync();
            _wake.TrySetResult();
        }
    }

    /// <summary>Who goes for a model to come: nobody for one that nobody asks for. Null if there is no room now.</summary>
    private IReadOnlyList<Serving>? RoomFor(WantedModel wanted, bool isWaitedFor, DateTimeOffset now)
    {
        IEnumerable<Evictable<Serving>> evictable = isWaitedFor || wanted.Deployment.Pinned
            ? residents.Hot.Where(s => !s.IsFixed && !IsPinned(s) && (wanted.Deployment.Pinned || s.StaysUntil <= now))
                .Select(s => new Evictable<Serving>(s, s.Host.Bytes, s.Host.Running > 0 ? now : s.Host.LastUsed))
            : [];
        return Room.For(wanted.Weighed!.Bytes, options.Budget is long.MaxValue ? long.MaxValue : options.Budget - residents.Bytes, evictable);
    }

    private bool IsPinned(Serving serving) => serving.Host.Names.Any(name => _wanted.GetValueOrDefault(name)?.Deployment.Pinned == true);

    private void Evict(Serving serving, bool isSame = true)
    {
        _evictions.Add(GoAsync());

        async Task GoAsync()
        {
            try
            {
                await loader.EvictAsync(serving, () => isSame && presence.Absent.Any(w => w.Name == serving.Host.Name)); // if it is still wanted then
                await presence.TryAnnounceAsync();
            }
            finally
            {
                _wake.TrySetResult();
            }
        }
    }

    private void Failed(WantedModel wanted, Error error)
    {
        Log.LoadFailed(log, wanted.Name, error.Message);
        wanted.Failed(error, time.GetUtcNow(), options.FailurePause);
    }

    private static int Waiting(WantedModel wanted, QueueCounts counts) => wanted.Names.Sum(name => counts.ByModel.GetValueOrDefault(name).Waiting);

    private async Task WaitAsync(INews news, Task wake, CancellationToken stopping)
    {
        await Task.Delay(s_shortest, time, stopping);
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        Task heard = news.WaitAsync(options.Heartbeat, enough.Token);
        await Task.WhenAny(heard, wake);
        await enough.CancelAsync();
        await heard.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task WakeInAsync(TimeSpan time1, CancellationToken stopping)
    {
        await Task.Delay(time1, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wake.TrySetResult();
    }

    private static TaskCompletionSource NewWake() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
