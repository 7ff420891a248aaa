using System.Reflection;
using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif.Running;

/// <summary>
/// What runs models in this process. The client does not reference it, so that a remote user installs no libtorch; the engine,
/// where it is present, puts itself in.
/// </summary>
public interface ILocalRuntime
{
    /// <exception cref="NdifException">UNKNOWN_MODEL if it is neither on this machine nor on the hub.</exception>
    ModelDescription Describe(LocalModel model);

    /// <summary>A runner for a model, which is loaded when it first runs.</summary>
    IProgramRunner Open(LocalModel model);

    /// <summary>What a LoRA adapter in PEFT's format changes.</summary>
    /// <param name="adapter">A folder, or an id on the hub.</param>
    /// <exception cref="NdifException">UNKNOWN_MODEL, BAD_CHECKPOINT or DOWNLOAD_FAILED.</exception>
    IReadOnlyList<LoraDelta> ReadAdapter(string adapter);

    /// <summary>A tensor of the engine's own as data, so that a client that cannot name its type accepts it; null for anything else.</summary>
    TensorData? ToTensorData(object value);
}

/// <summary>What an adapter adds to what a module gives for x: scale · x Aᵀ Bᵀ.</summary>
/// <param name="Module">The module's path.</param>
/// <param name="A">[rank, inFeatures]</param>
/// <param name="B">[outFeatures, rank]</param>
/// <param name="IsEmbedding">The module is an embedding: inputs are its entries.</param>
public sealed record LoraDelta(string Module, TensorData A, TensorData B, double Scaling, bool IsEmbedding);

public static class LocalRuntime
{
    private const string EngineAssemblyName = "Ndif.Engine";

    private static ILocalRuntime? _runtime;
    private static bool _hasSearched;

    /// <summary>Called by the engine when it is loaded.</summary>
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
                // a remote-only client
            }
        }
        return _runtime;
    }

    internal static ILocalRuntime Get() => TryGet() ?? throw Errors.CreateException(ErrorCode.Unsupported,
        $"This trace would run here, but {EngineAssemblyName} is not installed in this program.",
        "Pass remote: true to run it on the service, or reference Ndif.Engine and a libtorch package to run it here.");
}
