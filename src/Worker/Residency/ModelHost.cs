using Ndif.Engine.HookedModels;
using Ndif.Engine.Local;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue.Rules;
using TorchSharp;

namespace Ndif.Worker.Residency;

/// <summary>A model that this worker holds: its weights, and the one thread its passes run on.</summary>
internal sealed class ModelHost : IDisposable
{
    private readonly string _revision;

    private ModelHost(HookedLanguageModel subject, string name, string revision, TimeSpan loadTime, DateTimeOffset now)
    {
        (Model, Name, _revision, LoadTime) = (subject, name, revision, loadTime);
        Thread = new ModelThread($"model {name}");
        LoadedAt = LastUsed = now;
    }

    public HookedLanguageModel Model { get; }

    public ModelThread Thread { get; }

    /// <summary>The name under which it was asked for: "id", or "id@revision".</summary>
    public string Name { get; }

    public string Id => Model.Description.Id;

    /// <summary>The names under which the gateway queues jobs for it: the one it was asked for by, and of its commit.</summary>
    public IReadOnlyList<string> Names => GetNames(Name, Model.Description);

    /// <summary>Of its weights.</summary>
    public long WeightBytes => (long)Model.Description.Bytes;

    /// <summary>How long it took to get here.</summary>
    public TimeSpan LoadTime { get; private set; }

    /// <summary>When it came to the device.</summary>
    public DateTimeOffset LoadedAt { get; private set; }

    /// <summary>When a job of it last began or ended.</summary>
    public DateTimeOffset LastUsed { get; set; }

    /// <summary>Jobs that are running on it.</summary>
    public int RunningJobCount { get; set; }

    /// <param name="model">Id or folder.</param>
    /// <param name="revision">Of a hub model; empty for the default.</param>
    /// <param name="dtype">Null for what the options say.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelHost Load(string model, string revision, torch.ScalarType? dtype, WorkerOptions options, TimeProvider time,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        long from = time.GetTimestamp();
        LoadedModel loaded = ModelLoader.Load(model, revision.Length > 0 ? revision : null, options.ToLoadOptions(dtype), progress, cancellationToken);
        return new ModelHost(new HookedLanguageModel(loaded) { PrefillChunkSize = options.PrefillChunk }, DeploymentRules.GetName(model, revision), revision,
            time.GetElapsedTime(from), time.GetUtcNow());
    }

    /// <summary>What jobs for a model wait under.</summary>
    public static IReadOnlyList<string> GetNames(string name, ModelDescription description) =>
        description.Revision.Length == 0 || name == $"{description.Id}@{description.Revision}" ? [name] : [name, $"{description.Id}@{description.Revision}"];

    /// <summary>Takes the weights off the device, into this machine's memory. No pass may run.</summary>
    public void Offload() => Model.Offload();

    /// <summary>Brings them back.</summary>
    public void Reload(TimeProvider time)
    {
        long from = time.GetTimestamp();
        Model.LoadToDevice();
        (LoadTime, LoadedAt) = (time.GetElapsedTime(from), time.GetUtcNow());
    }

    public ModelStatus ToStatus(Heat heat) => new()
    {
        Id = Id, Revision = _revision.Length > 0 ? _revision : Model.Description.Revision, Architecture = Model.Description.Architecture, Heat = heat,
        Parameters = Model.Description.Parameters, Bytes = Model.Description.Bytes, Replicas = heat is Protocol.Heat.Hot ? 1u : 0, Running = (uint)RunningJobCount, Dtype = Model.Description.Dtype,
    };

    public void Dispose()
    {
        Thread.Dispose();
        Model.Dispose();
    }
}
