using System.Reflection;
using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>
/// Runs models in this process. The client does not reference the engine, so that a user of the service does not install libtorch; the
/// engine registers itself where it is present.
/// </summary>
public interface ILocalRuntime
{
    /// <summary>Describes a model without loading its weights.</summary>
    /// <exception cref="NdifException">UNKNOWN_MODEL: it is neither on this machine nor on the hub.</exception>
    ModelDescription Describe(LocalModel model);

    /// <summary>A runner for a model, which loads it with the first run.</summary>
    IProgramRunner Open(LocalModel model);

    /// <summary>Reads the changes of a LoRA adapter in PEFT's format.</summary>
    /// <param name="adapter">A folder, or an id on the hub.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or DOWNLOAD_FAILED.</exception>
    LoraAdapter ReadAdapter(string adapter);

    /// <summary>Converts a tensor of the engine's tensor library, whose type the client does not know; null for any other object.</summary>
    TensorData? ToTensorData(object value);
}

/// <summary>The change of one module by an adapter: it adds Scaling · x Aᵀ Bᵀ to the module's output for x.</summary>
/// <param name="Module">The path of the module.</param>
/// <param name="A">[rank, inFeatures]</param>
/// <param name="B">[outFeatures, rank]</param>
/// <param name="Scaling">The factor lora_alpha / r.</param>
/// <param name="IsEmbedding">The module is an embedding, whose inputs are ids.</param>
public sealed record LoraDelta(string Module, TensorData A, TensorData B, double Scaling, bool IsEmbedding)
{
    /// <summary>The rank that the adapter's config gives the module; null if it is that of the matrices.</summary>
    public int? Rank { get; init; }
}

/// <summary>A tensor of an adapter that takes the place of one of the model's own.</summary>
/// <param name="Module">The path of the module.</param>
/// <param name="Parameter">The name of the parameter: "weight", "bias".</param>
/// <param name="IsCopy">
/// The module has a copy of its own. Otherwise the tensor replaces the parameter in every module that shares it.
/// </param>
public sealed record AdapterTensor(string Module, string Parameter, TensorData Value, bool IsCopy);

/// <summary>The changes of an adapter.</summary>
/// <param name="Deltas">Those by LoRA's matrices.</param>
/// <param name="Tensors">Those by whole tensors.</param>
public sealed record LoraAdapter(IReadOnlyList<LoraDelta> Deltas, IReadOnlyList<AdapterTensor> Tensors);

/// <summary>The engine of this process, where it is present.</summary>
public static class LocalRuntime
{
    private const string EngineAssemblyName = "Ndif.Engine";

    private static ILocalRuntime? _runtime;
    private static bool _hasSearched;

    /// <summary>Registers the engine; the engine calls it when it is loaded.</summary>
    public static void Register(ILocalRuntime runtime) => _runtime = runtime;

    internal static ILocalRuntime? TryGet()
    {
        if (_runtime is null && !_hasSearched)
        {
            _hasSearched = true;
            try
            {
                RuntimeHelpers.RunModuleConstructor(Assembly.Load(EngineAssemblyName).ManifestModule.ModuleHandle);
            }
            catch (FileNotFoundException)
            {
                // the engine is not installed: this process uses only the service
            }
        }
        return _runtime;
    }

    internal static ILocalRuntime Get() => TryGet() ?? throw Errors.CreateException(ErrorCode.Unsupported,
        $"This trace would run here, but {EngineAssemblyName} is not installed in this program.",
        "Pass remote: true to run it on the service, or reference the package Ndif.Engine to run it here.");
}
