using Ndif.Engine.Local;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Queue;
using TorchSharp;

namespace Ndif.Worker;

/// <summary>A model that this worker holds: its weights, and the one thread its passes run on.</summary>
public sealed class ModelHost : IDisposable
{
    private readonly string _revision;

    private ModelHost(LanguageSubject subject, string name, string revision, TimeSpan loadTime, DateTimeOffset now)
    {
        (Subject, Name, _revision, LoadTime) = (subject, name, revision, loadTime);
        Lane = new Lane($"model {name}");
        Since = LastUsed = now;
    }

    public LanguageSubject Subject { get; }

    public Lane Lane { get; }

    /// <summary>The name under which it was asked for: "id", or "id@revision".</summary>
    public string Name { get; }

    public string Id => Subject.Description.Id;

    /// <summary>The names under which the gateway queues jobs for it: the one it was asked for by, and of its commit.</summary>
    public IReadOnlyList<string> Names => NamesOf(Name, Subject.Description);

    /// <summary>Of its weights.</summary>
    public long Bytes => (long)Subject.Description.Bytes;

    /// <summary>How long it took to get here.</summary>
    public TimeSpan LoadTime { get; private set; }

    /// <summary>When it came to the device.</summary>
    public DateTimeOffset Since { get; private set; }

    /// <summary>When a job of it last began or ended.</summary>
    public DateTimeOffset LastUsed { get; set; }

    /// <summary>Jobs that are running on it.</summary>
    public int Running { get; set; }

    /// <param name="model">Id or folder.</param>
    /// <param name="revision">Of a hub model; empty for the default.</param>
    /// <param name="dtype">Null for what the options say.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelHost Load(string model, string revision, torch.ScalarType? dtype, WorkerOptions options, TimeProvider time,
        IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        long from = time.GetTimestamp();
        LoadedModel loaded = ModelLoader.Load(model, revision.Length > 0 ? revision : null, options.LoadOptions(dtype), progress, cancellationToken);
        return new ModelHost(new LanguageSubject(loaded) { PrefillChunk = options.PrefillChunk }, DeploymentRules.NameOf(model, revision), revision,
            time.GetElapsedTime(from), time.GetUtcNow());
    }

    /// <summary>What jobs for a model wait under.</summary>
    public static IReadOnlyList<string> NamesOf(string name, ModelDescription description) =>
        description.Revision.Length == 0 || name == $"{description.Id}@{description.Revision}" ? [name] : [name, $"{description.Id}@{description.Revision}"];

    /// <summary>Takes the weights off the device, into this machine's memory. No pass may run.</summary>
    public void Cool() => Subject.Cool();

    /// <summary>Brings them back.</summary>
    public void Heat(TimeProvider time)
    {
        long from = time.GetTimestamp();
        Subject.Heat();
        (LoadTime, Since) = (time.GetElapsedTime(from), time.GetUtcNow());
    }

    public ModelStatus StatusAs(Heat heat) => new()
    {
        Id = Id, Revision = _revision.Length > 0 ? _revision : Subject.Description.Revision, Architecture = Subject.Description.Architecture, Heat = heat,
        Parameters = Subject.Description.Parameters, Bytes = Subject.Description.Bytes, Replicas = heat is Protocol.Heat.Hot ? 1u : 0, Running = (uint)Running, Dtype = Subject.Description.Dtype,
    };

    public void Dispose()
    {
        Lane.Dispose();
        Subject.Dispose();
    }
}
