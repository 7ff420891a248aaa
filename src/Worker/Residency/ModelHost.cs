using Microsoft.Extensions.Logging;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Local;
using Ndif.Models.Loading;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Worker.Residency;

/// <summary>A loaded model and the thread on which its forward passes run.</summary>
internal sealed class ModelHost : IDisposable
{
    /// <summary>
    /// The priority of the threads that compute: those that receive jobs and send results need little time, but need it at once.
    /// </summary>
    private const int Niceness = 5;

    private readonly string _revision;
    private int _runningJobCount;

    private ModelHost(HookedLanguageModel model, string name, string revision, TimeSpan loadTime, DateTimeOffset now)
    {
        (Model, Name, _revision, LoadTime) = (model, name, revision, loadTime);
        Thread = new ModelThread($"model {name}", Niceness);
        LoadedAt = LastUsed = now;
    }

    public HookedLanguageModel Model { get; }

    public ModelThread Thread { get; }

    /// <summary>The name under which the model was requested: "id" or "id@revision".</summary>
    public string Name { get; }

    public string Id => Model.Description.Id;

    /// <summary>The names under which jobs for the model are queued: <see cref="Name"/>, and the id with its commit.</summary>
    public IReadOnlyList<string> Names => GetNames(Name, Model.Description);

    /// <summary>The size of the weights in bytes.</summary>
    public long WeightBytes => (long)Model.Description.Bytes;

    /// <summary>How long the last load to the device took.</summary>
    public TimeSpan LoadTime { get; private set; }

    /// <summary>When the model was loaded to the device.</summary>
    public DateTimeOffset LoadedAt { get; private set; }

    /// <summary>When a job of the model last began or ended.</summary>
    public DateTimeOffset LastUsed { get; private set; }

    /// <summary>Whether another worker serves the model too, according to its last heartbeat.</summary>
    public bool HasOtherReplicas { get; set; }

    /// <summary>The number of jobs that run on the model.</summary>
    public int RunningJobCount => _runningJobCount;

    /// <summary>Counts a job that begins.</summary>
    public void OnJobStarted(DateTimeOffset now)
    {
        Interlocked.Increment(ref _runningJobCount);
        LastUsed = now;
    }

    /// <summary>Counts a job that has ended.</summary>
    public void OnJobEnded(DateTimeOffset now)
    {
        Interlocked.Decrement(ref _runningJobCount);
        LastUsed = now;
    }

    /// <summary>Loads a model to the device.</summary>
    /// <param name="model">The id or folder of the model.</param>
    /// <param name="revision">The revision of a hub model; empty for the default.</param>
    /// <param name="dtype">The element type; null for the one of the options.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelHost Load(
        string model, string revision, torch.ScalarType? dtype, WorkerOptions options, ILogger logger, TimeProvider time,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        long from = time.GetTimestamp();
        LoadedModel loaded = ModelLoader.Load(
            model, revision.Length > 0 ? revision : null, options.ToLoadOptions(dtype), progress, cancellationToken);
        foreach (string warning in loaded.Warnings) Log.ModelWarning(logger, warning);
        var hooked = new HookedLanguageModel(loaded)
        {
            PrefillChunkSize = options.PrefillChunk, OnWarning = warning => Log.ModelWarning(logger, warning),
        };
        return new ModelHost(hooked, ModelNames.Format(model, revision), revision, time.GetElapsedTime(from), time.GetUtcNow());
    }

    /// <summary>Returns the names under which jobs for a model are queued.</summary>
    public static IReadOnlyList<string> GetNames(string name, ModelDescription description) =>
        description.Revision.Length == 0 || name == ModelNames.Format(description.Id, description.Revision)
            ? [name]
            : [name, ModelNames.Format(description.Id, description.Revision)];

    /// <summary>Moves the weights from the device to host memory. Call it while no pass runs.</summary>
    public void Offload() => Model.Offload();

    /// <summary>Moves the weights from host memory back to the device.</summary>
    public void Reload(TimeProvider time)
    {
        long from = time.GetTimestamp();
        Model.LoadToDevice();
        (LoadTime, LoadedAt) = (time.GetElapsedTime(from), time.GetUtcNow());
    }

    public ModelStatus ToStatus(Heat heat) => new()
    {
        Id = Id,
        Revision = _revision.Length > 0 ? _revision : Model.Description.Revision,
        Architecture = Model.Description.Architecture,
        Task = Model.Description.Task,
        Heat = heat,
        Parameters = Model.Description.Parameters,
        Bytes = Model.Description.Bytes,
        Replicas = heat is Heat.Hot ? 1u : 0,
        Running = (uint)RunningJobCount,
        Dtype = Model.Description.Dtype,
    };

    public void Dispose()
    {
        Thread.Dispose();
        Model.Dispose();
    }
}
