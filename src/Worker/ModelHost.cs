using Ndif.Engine.Local;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;

namespace Ndif.Worker;

/// <summary>A model that this worker holds: its weights, and the one thread its passes run on.</summary>
public sealed class ModelHost : IDisposable
{
    private ModelHost(LanguageSubject subject) => (Subject, Lane) = (subject, new Lane($"model {subject.Description.Id}"));

    public LanguageSubject Subject { get; }

    public Lane Lane { get; }

    /// <summary>The name under which jobs ask for it.</summary>
    public string Id => Subject.Description.Id;

    /// <summary>The names under which the gateway queues jobs for it: of any revision, and of this one.</summary>
    public IReadOnlyList<string> Names => Subject.Description.Revision.Length == 0 ? [Id] : [Id, $"{Id}@{Subject.Description.Revision}"];

    /// <summary>Jobs that are running on it.</summary>
    public int Running { get; set; }

    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT, UNSUPPORTED_ARCHITECTURE or DOWNLOAD_FAILED.</exception>
    public static ModelHost Load(string model, WorkerOptions options, IProgress<(string What, long Done, long Total)>? progress = null, CancellationToken cancellationToken = default)
    {
        var load = new LoadOptions
        {
            DType = Models.DTypes.OfConfig(options.Dtype), EightBit = options.EightBit,
            DeviceMap = DeviceMap.Parse(options.Device),
        };
        return new ModelHost(new LanguageSubject(ModelLoader.Load(model, null, load, progress, cancellationToken)) { PrefillChunk = options.PrefillChunk });
    }

    public ModelStatus Status => new()
    {
        Id = Id, Revision = Subject.Description.Revision, Architecture = Subject.Description.Architecture, Heat = Heat.Hot,
        Parameters = Subject.Description.Parameters, Bytes = Subject.Description.Bytes, Replicas = 1, Running = (uint)Running, Dtype = Subject.Description.Dtype,
    };

    public void Dispose()
    {
        Lane.Dispose();
        Subject.Dispose();
    }
}
