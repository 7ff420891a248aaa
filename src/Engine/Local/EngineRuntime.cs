using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Ndif.Engine.Kernels;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Engine.Local;

/// <summary>What a client in this process uses to run models here. Each model is loaded once and kept.</summary>
public sealed class EngineRuntime : ILocalRuntime
{
    private readonly ConcurrentDictionary<LocalModel, Lazy<LocalRunner>> _runners = new();

#pragma warning disable CA2255 // the client finds its engine by loading it; there is no other entry point to call
    [ModuleInitializer]
    internal static void Register() => LocalRuntime.Register(new EngineRuntime());
#pragma warning restore CA2255

    public ModelDescription Describe(LocalModel model) => ModelLoader.Describe(model.Id, Revision(model), Type(model));

    public IProgramRunner Open(LocalModel model)
    {
        return _runners.GetOrAdd(model, key => new(() => new LocalRunner(
            cancellation => Load(key, cancellation), () => LoadShapes(key), new Lane($"model {key.Id}")))).Value;
    }

    public IReadOnlyList<LowRankChange> ReadAdapter(string adapter)
    {
        using AdapterFile file = AdapterFile.Open(ModelStore.Find(adapter, null, ModelParts.Adapter, null).Path);
        return [.. file.Pairs.Select(pair => new LowRankChange(pair.Module, Data(pair.A), Data(pair.B), pair.Scale, pair.Table))];

        TensorData Data(string name)
        {
            using TorchSharp.torch.Tensor tensor = file.Read(name);
            return tensor.ToData();
        }
    }

    public TensorData? AsData(object value) => (value as TorchSharp.torch.Tensor)?.ToData();

    private static LanguageSubject Load(LocalModel model, CancellationToken cancellationToken) => new(ModelLoader.Load(model.Id, Revision(model),
        new LoadOptions { DType = Type(model), Adapter = model.Adapter, EightBit = model.EightBit, DeviceMap = DeviceMap.Parse(model.Device) }, cancellationToken: cancellationToken));

    private static LanguageSubject LoadShapes(LocalModel model)
    {
        ModelFolder folder = ModelStore.Find(model.Id, Revision(model));
        return new LanguageSubject(ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder), Type(model)));
    }

    private static string? Revision(LocalModel model) => model.Revision.Length > 0 ? model.Revision : null;

    /// <exception cref="NdifException">BAD_ARGUMENT: weights are floating-point numbers.</exception>
    private static TorchSharp.torch.ScalarType? Type(LocalModel model) => model.Dtype is not { } dtype ? null
        : dtype.IsFloating() ? dtype.ToTorch()
        : throw Errors.Throwable(ErrorCode.BadArgument, $"A model is loaded in a floating-point type, not in {dtype}.", "For weights in eight bits there is `eightBit: true`.");
}
