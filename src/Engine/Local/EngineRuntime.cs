using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Ndif.Engine.HookedModels;
using Ndif.Models;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Engine.Local;

/// <summary>Runs models for the client library in this process. Each model is loaded once and kept.</summary>
internal sealed class EngineRuntime : ILocalRuntime
{
    private readonly ConcurrentDictionary<LocalModel, Lazy<LocalRunner>> _runners = new();

#pragma warning disable CA2255 // the client library loads this assembly by name, and calls no other entry point
    [ModuleInitializer]
    internal static void Register() => LocalRuntime.Register(new EngineRuntime());
#pragma warning restore CA2255

    public ModelDescription Describe(LocalModel model) => ModelLoader.Describe(model.Id, RevisionOf(model), DTypeOf(model));

    public IProgramRunner Open(LocalModel model)
    {
        return _runners.GetOrAdd(model, key => new(() => new LocalRunner(
            cancellation => Load(key, cancellation), () => LoadMetaModel(key), new ModelThread($"model {key.Id}")))).Value;
    }

    public LoraAdapter ReadAdapter(string adapter)
    {
        using AdapterFile file = AdapterFile.Open(ModelStore.Find(adapter, null, ModelParts.Adapter, null).Path);
        WriteWarnings(file.Warnings);
        return new(
            [
                .. file.Pairs.Select(pair => new LoraDelta(pair.Module, Data(pair.A), Data(pair.B), pair.Scaling, pair.IsEmbedding)
                {
                    Rank = pair.Rank,
                }),
            ],
            [.. file.Weights.Select(weight => new AdapterTensor(weight.Module, weight.Parameter, Data(weight.Tensor), weight.IsCopy))]);

        TensorData Data(string name)
        {
            using TorchSharp.torch.Tensor tensor = file.Read(name);
            return tensor.ToData();
        }
    }

    public TensorData? ToTensorData(object value) => (value as TorchSharp.torch.Tensor)?.ToData();

    private static HookedLanguageModel Load(LocalModel model, CancellationToken cancellationToken)
    {
        var options = new LoadOptions
        {
            DType = DTypeOf(model), Adapter = model.Adapter, EightBit = model.EightBit, DeviceMap = DeviceMap.Parse(model.Device),
        };
        LoadedModel loaded = ModelLoader.Load(model.Id, RevisionOf(model), options, cancellationToken: cancellationToken);
        WriteWarnings(loaded.Warnings);
        return new HookedLanguageModel(loaded) { OnWarning = warning => WriteWarnings([warning]) };
    }

    private static void WriteWarnings(IEnumerable<string> warnings)
    {
        foreach (string warning in warnings) Console.Error.WriteLine($"warning: {warning}");
    }

    private static HookedLanguageModel LoadMetaModel(LocalModel model)
    {
        ModelFolder folder = ModelStore.Find(model.Id, RevisionOf(model));
        return new HookedLanguageModel(ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder), DTypeOf(model)));
    }

    private static string? RevisionOf(LocalModel model) => model.Revision.Length > 0 ? model.Revision : null;

    /// <exception cref="NdifException">BAD_ARGUMENT: the type is not a floating-point type.</exception>
    private static TorchSharp.torch.ScalarType? DTypeOf(LocalModel model) => model.Dtype is not { } dtype ? null
        : dtype.IsFloatingPoint() ? dtype.ToTorch()
        : throw Errors.CreateException(ErrorCode.BadArgument, $"A model is loaded in a floating-point type, not in {dtype}.",
            "For weights in eight bits there is `eightBit: true`.");
}
