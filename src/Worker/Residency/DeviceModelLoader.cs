using Microsoft.Extensions.Logging;
using Ndif.Models;
using Ndif.Models.Files;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Worker.Deployments;
using Ndif.Worker.Serving;
using TorchSharp;

namespace Ndif.Worker.Residency;

/// <summary>Loads models to the device, starts to serve them, and evicts them from it.</summary>
internal sealed class DeviceModelLoader(
    WorkerOptions options, QueueBackend backend, ModelResidency residency, LeasedJobs jobs, ILogger logger, TimeProvider time,
    CancellationToken abort)
{
    private readonly TaskCompletionSource _faulted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Faults when the serving loop of a model faults.</summary>
    public Task Faulted => _faulted.Task;

    /// <summary>Loads a model at the start of the worker.</summary>
    public async Task<JobServingLoop> PreloadAsync(
        string model, IProgress<(string, long, long)>? progress, CancellationToken cancellationToken) =>
        NewServingLoop(await LoadAsync(model, "", null, progress, cancellationToken), isPreloaded: true);

    /// <summary>
    /// Loads a deployed model for which this worker has a replica claim.
    /// 1. Lease the jobs that wait for the model, and publish that they are LOADING.
    /// 2. Drain and evict the models in whose place it is loaded.
    /// 3. Load the model from disk, or reload it from host memory.
    /// 4. Start to serve it, with the leased jobs first.
    /// </summary>
    /// <exception cref="NdifException">The model cannot be loaded. The leased jobs have returned to the queue.</exception>
    public async Task LoadOnDemandAsync(
        DesiredModel desired, IReadOnlyList<JobServingLoop> evicted, IProgress<(string, long, long)>? progress, CancellationToken stopping)
    {
        // An id on the hub that is the name of a folder or a GGUF file here would be taken for that.
        if (!Path.IsPathFullyQualified(desired.Deployment.Model) && Path.Exists(desired.Deployment.Model))
            throw WorkerErrors.DeployedFolder(desired.Deployment.Model);
        await using JobsAwaitingLoad waiting =
            await JobsAwaitingLoad.LeaseAsync(desired.Names, options, backend, jobs, progress, logger, time, stopping); // 1
        ModelHost? offloaded = residency.RemoveOffloaded(desired.Name); // before the evicted models displace it from host memory
        try
        {
            await Task.WhenAll(evicted.Select(loop => EvictAsync(loop, () => true))); // 2
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

    /// <summary>Starts a serving loop; a fault of it faults <see cref="Faulted"/>.</summary>
    public void StartServing(JobServingLoop loop, IReadOnlyList<Lease> first)
    {
        loop.Start(first, abort);
        _ = loop.Completion.ContinueWith(ended => _faulted.TrySetException(ended.Exception!.InnerExceptions), CancellationToken.None,
            TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Drains a model and removes it from the device. Jobs that wait for it stay in the queue.</summary>
    /// <param name="canOffload">
    /// Called when its jobs have ended: whether to offload the model to host memory instead of disposing it.
    /// </param>
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

    /// <summary>Releases the replica claim of a model, so that another worker can claim it.</summary>
    public async Task ReleaseReplicaAsync(string name)
    {
        try
        {
            await backend.Deployments.ReleaseReplicaAsync(name, options.Id);
        }
        catch (Exception e)
        {
            Log.QueueUnreachable(logger, e.Message); // the claim expires by itself
        }
    }

    public void DisposeOffloaded(string name) => residency.RemoveOffloaded(name)?.Dispose();

    private async Task<ModelHost> LoadAsync(
        string model, string revision, torch.ScalarType? dtype, IProgress<(string, long, long)>? progress,
        CancellationToken cancellationToken)
    {
        Log.Loading(logger, ModelNames.Format(model, revision), options.Device);
        ModelHost host = await Task.Factory.StartNew(
            () => ModelHost.Load(model, revision, dtype, options, logger, time, progress, cancellationToken),
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

    private JobServingLoop NewServingLoop(ModelHost host, bool isPreloaded) =>
        new(host, options, backend, jobs, logger, time) { IsPreloaded = isPreloaded };

    /// <summary>Returns the element type of a deployment, or null for the default of the worker.</summary>
    public static torch.ScalarType? GetScalarType(Deployment deployment) => deployment.Dtype is DataType.Unspecified
        ? null
        : ((DType)deployment.Dtype).ToTorch();
}
