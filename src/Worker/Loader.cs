using Microsoft.Extensions.Logging;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker;

/// <summary>Brings models to the device and takes them off it.</summary>
internal sealed class Loader(WorkerOptions options, QueueBackend backend, Residents residents, RunningJobs jobs, ILogger log, TimeProvider time, CancellationToken abort)
{
    private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Fails when a model can no longer be served.</summary>
    public Task Broken => _broken.Task;

    /// <summary>Loads a model that the worker is started with.</summary>
    public async Task<Serving> LoadFixedAsync(string model, IProgress<(string, long, long)>? progress, CancellationToken cancellationToken) =>
        NewServing(await LoadAsync(model, "", null, progress, cancellationToken), isFixed: true);

    /// <summary>
    /// Loads a wanted model that this worker has the right to hold, in the place of others if need be.
    /// 1. Take the jobs that wait for it, and tell them.
    /// 2. Let the jobs of those end that make room.
    /// 3. Load, or take it from where it is kept warm.
    /// 4. Run the jobs.
    /// </summary>
    /// <exception cref="NdifException">It cannot be loaded; its jobs are back in the queue.</exception>
    public async Task BringAsync(WantedModel wanted, IReadOnlyList<Serving> instead, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        await using LoadingJobs waiting = await LoadingJobs.TakeAsync(wanted.Names, options, backend, jobs, progress, log, time, stopping); // 1
        ModelHost? warm = residents.TakeWarm(wanted.Name); // before those that go push it out
        try
        {
            await Task.WhenAll(instead.Select(serving => EvictAsync(serving, () => true))); // 2
            stopping.ThrowIfCancellationRequested();
        }
        catch
        {
            warm?.Dispose();
            throw;
        }
        ModelHost host = warm is not null ? await WarmUpAsync(warm) // 3
            : await LoadAsync(wanted.Deployment.Model, wanted.Deployment.Revision, ScalarTypeOf(wanted.Deployment), waiting, stopping);
        Serving serving = NewServing(host, isFixed: false);
        residents.Add(serving);
        Start(serving, await waiting.HandOverAsync()); // 4
    }

    public void Start(Serving serving, IReadOnlyList<Lease> first)
    {
        serving.Start(first, abort);
        _ = serving.Ended.ContinueWith(ended => _broken.TrySetException(ended.Exception!.InnerExceptions), CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Lets the model's jobs end and takes it off the device. What waits for it stays in the queue.</summary>
    /// <param name="keepWarm">Asked when its jobs have ended.</param>
    public async Task EvictAsync(Serving serving, Func<bool> keepWarm)
    {
        if (!residents.Leave(serving))
        {
            await serving.Ended;
            return;
        }
        Log.Evicting(log, serving.Host.Name);
        await LetGoAsync(serving.Host.Name);
        await serving.DrainAsync();
        if (options.WarmMemory > 0 && keepWarm())
        {
            await serving.Host.Lane.RunAsync(() =>
            {
                serving.Host.Cool();
                return true;
            });
            foreach (ModelHost gone in residents.PutWarm(serving.Host, options.WarmMemory)) gone.Dispose();
        }
        else
        {
            serving.Host.Dispose();
        }
        serving.Dispose();
        residents.Left(serving);
        NativeHeap.GiveBack();
        Log.Evicted(log, serving.Host.Name);
    }

    /// <summary>Gives the right to hold a model back, for another worker to have.</summary>
    public async Task LetGoAsync(string name)
    {
        try
        {
            await backend.Deployments.LetGoAsync(name, options.Id);
        }
        catch (NdifException e) when (e.Retryable)
        {
            // it runs out by itself
        }
    }

    public void DropWarm(string name) => residents.TakeWarm(name)?.Dispose();

    private async Task<ModelHost> LoadAsync(string model, string revision, TorchSharp.torch.ScalarType? dtype, IProgress<(string, long, long)>? progress, CancellationToken cancellationToken)
    {
        Log.Loading(log, DeploymentRules.NameOf(model, revision), options.Device);
        ModelHost host = await Task.Factory.StartNew(() => ModelHost.Load(model, revision, dtype, options, time, progress, cancellationToken),
            cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Log.Loaded(log, host.Name, host.LoadTime.TotalSeconds);
        return host;
    }

    private async Task<ModelHost> WarmUpAsync(ModelHost warm)
    {
        await warm.Lane.RunAsync(() =>
        {
            warm.Heat(time);
            return true;
        });
        Log.Loaded(log, warm.Name, warm.LoadTime.TotalSeconds);
        return warm;
    }

    private Serving NewServing(ModelHost host, bool isFixed) => new(host, options, backend, jobs, log, time) { IsFixed = isFixed };

    public static TorchSharp.torch.ScalarType? ScalarTypeOf(Deployment deployment) =>
        deployment.Dtype is DataType.Unspecified ? null : Ndif.Models.DTypes.All.First(d => d.Wire == deployment.Dtype && d.Torch is not null).Torch;
}
