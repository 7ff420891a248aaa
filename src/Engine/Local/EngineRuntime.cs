using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Engine.Local;

/// <summary>What a client in this process uses to run models here. Each model is loaded once and kept.</summary>
public sealed class EngineRuntime : ILocalRuntime
{
    private readonly ConcurrentDictionary<(string Model, string Revision), Lazy<LocalRunner>> _runners = new();

#pragma warning disable CA2255 // the client finds its engine by loading it; there is no other entry point to call
    [ModuleInitializer]
    internal static void Register() => LocalRuntime.Register(new EngineRuntime());
#pragma warning restore CA2255

    public ModelDescription Describe(string model, string revision) => ModelLoader.Describe(model, revision.Length > 0 ? revision : null);

    public IProgramRunner Open(string model, string revision)
    {
        return _runners.GetOrAdd((model, revision), key => new(() => new LocalRunner(
            cancellation => Load(key.Model, key.Revision, cancellation), () => LoadShapes(key.Model, key.Revision), new Lane($"model {key.Model}")))).Value;
    }

    public TensorData? AsData(object value) => (value as TorchSharp.torch.Tensor)?.ToData();

    private static LanguageSubject Load(string model, string revision, CancellationToken cancellationToken)
    {
        ModelFolder folder = Find(model, revision);
        return new LanguageSubject(ModelLoader.Load(folder, ModelLoader.ReadConfig(folder), cancellationToken: cancellationToken));
    }

    private static LanguageSubject LoadShapes(string model, string revision)
    {
        ModelFolder folder = Find(model, revision);
        return new LanguageSubject(ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder)));
    }

    private static ModelFolder Find(string model, string revision) => ModelStore.Find(model, revision.Length > 0 ? revision : null);
}
