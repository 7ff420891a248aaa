using Microsoft.Extensions.Logging;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Worker.Deployments;
using Ndif.Worker.Serving;

namespace Ndif.Worker.Residency;

/// <summary>Brings models to the device and takes them off it.</summary>
internal sealed class DeviceModelLoader(WorkerOptions options, QueueBackend backend, ModelResidency residency, LeasedJobs jobs, ILogger logger, TimeProvider time, CancellationToken abort)
{
    private readonly TaskCompletionSource _faulted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Fails when a model can no longer be served.</summary>
    public Task Faulted => _faulted.Task;

    /// <summary>Loads a model that the worker is started with.</summary>
    public async Task<JobServingLoop> PreloadAsync(string model, IProgress<(string, long, long)>? progress, CancellationToken cancellationToken) =>
        NewServingLoop(await LoadAsync(model, "", null, progress, cancellationToken), isPreloaded: true);

    /// <summary>
    /// Loads a wanted model that this worker has the right to hold, in the place of others if need be.
    /// 1. Take the jobs that wait for it, and tell them.
    /// 2. Let the jobs of those end that make room.
    /// 3. Load, or take it from where it is kept warm.
    /// 4. Run the jobs.
    /// </summary>
    /// <exception cref="NdifException">It cannot be loaded; its jobs are back in the queue.</exception>
    public async Task LoadOnDemandAsync(DesiredModel desired, IReadOnlyList<JobServingLoop> evicted, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        await using JobsAwaitingLoad waiting = await JobsAwaitingLoad.LeaseAsync(desired.Names, options, backend, jobs, progress, logger, time, stopping); // 1
        ModelHost? offloaded = residency.RemoveOffloaded(desired.Name); // before those that go push it out
        try
        {
            await Task.WhenAll(evicted.Select(serving => EvictAsync(serving, () => true))); // 2
            stopping.ThrowIfCancellationRequested();
        }
        catch
        {
            offloaded?.Dispose();
            throw;
        }
        ModelHost host = offloaded is not null ? await ReloadAsync(offloaded) // 3
            : await LoadAsync(desired.Deployment.Model, desired.Deployment.Revision, GetScalarType(desired.Deployment), waiting, stopping);
        JobServingLoop loop = NewServingLoop(host, isPreloaded: false);
        residency.Add(loop);
        StartServing(loop, await waiting.HandOverAsync()); // 4
    }

    public void StartServing(JobServingLoop loop, IReadOnlyList<Lease> first)
    {
        loop.Start(first, abort);
        _ = loop.Completion.ContinueWith(ended => _faulted.TrySetException(ended.Exception!.InnerExceptions), CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Lets the model's jobs end and takes it off the device. What waits for it stays in the queue.</summary>
    /// <param name="canOffload">Asked when its jobs have ended.</param>
    public async Task EvictAsync(JobServingLoop loop, Func<bool> canOffload)
    {
        if (!residency.TryBeginEviction(loop))
        {
            await loop.Completion;
            return;
        }
        Log.Evicting(logger, loop.Host.Name);
        await ReleaseReplicaAsync(loop.Host.Name);
        await loop.DrainAsync();
        if (options.WarmMemory > 0 && canOffload())
        {
            await loop.Host.Thread.RunAsync(() =>
            {
                loop.Host.Offload();
                return true;
            });
            foreach (ModelHost displaced in residency.AddOffloaded(loop.Host, options.WarmMemory)) displaced.Dispose();
        }
        else
        {
            loop.Host.Dispose();
        }
        loop.Dispose();
        residency.EndEviction(loop);
        NativeHeap.Trim();
        Log.Evicted(logger, loop.Host.Name);
    }

    /// <summary>Gives the right to hold a model back, for another worker to have.</summary>
    public async Task ReleaseReplicaAsync(string name)
    {
        try
        {
            await backend.Deployments.ReleaseReplicaAsync(name, options.Id);
        }
        catch (NdifException e) when (e.Retryable)
        {
            // it runs out by itself
        }
    }

    public void DisposeOffloaded(string name) => residency.RemoveOffloaded(name)?.Dispose();

    private async Task<ModelHost> LoadAsync(string model, string revision, TorchSharp.torch.ScalarType? dtype, IProgress<(string, long, long)>? progress, CancellationToken cancellationToken)
    {
        Log.Loading(logger, ModelNames.Format(model, revision), options.Device);
        ModelHost host = await Task.Factory.StartNew(() => ModelHost.Load(model, revision, dtype, options, time, progress, cancellationToken),
            cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Log.Loaded(logger, host.Name, host.LoadTime.TotalSeconds);
        return host;
    }

    private async Task<ModelHost> ReloadAsync(ModelHost offloaded)
    {
        await offloaded.Thread.RunAsync(() =>
        {
            offloaded.Reload(time);
            return true;
        });
        Log.Loaded(logger, offloaded.Name, offloaded.LoadTime.TotalSeconds);
        return offloaded;
    }

    private JobServingLoop NewServingLoop(ModelHost host, bool isPreloaded) => new(host, options, backend, jobs, logger, time) { IsPreloaded = isPreloaded };

    public static TorchSharp.torch.ScalarType? GetScalarType(Deployment deployment) =>
        deployment.Dtype is DataType.Unspecified ? null : Ndif.Models.Files.SafetensorsDTypes.All.First(d => d.Wire == deployment.Dtype && d.Torch is not null).Torch;
}
