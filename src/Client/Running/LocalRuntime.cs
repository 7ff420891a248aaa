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
    IReadOnlyList<LowRankChange> ReadAdapter(string adapter);

    /// <summary>A tensor of the engine's own as data, so that a client that cannot name its type accepts it; null for anything else.</summary>
    TensorData? AsData(object value);
}

/// <summary>What an adapter adds to what a module gives for x: scale · x Aᵀ Bᵀ.</summary>
/// <param name="Module">The module's path.</param>
/// <param name="A">[rank, inputs]</param>
/// <param name="B">[outputs, rank]</param>
/// <param name="Table">The module is an embedding: inputs are its entries.</param>
public sealed record LowRankChange(string Module, TensorData A, TensorData B, double Scale, bool Table);

public static class LocalRuntime
{
    private const string Engine = "Ndif.Engine";

    private static ILocalRuntime? s_runtime;
    private static bool s_searched;

    /// <summary>Called by the engine when it is loaded.</summary>
    public static void Register(ILocalRuntime runtime) => s_runtime = runtime;

    internal static ILocalRuntime? TryGet()
    {
        if (s_runtime is null && !s_searched)
        {
            s_searched = true;
            try
            {
                RuntimeHelpers.RunModuleConstructor(Assembly.Load(Engine).ManifestModule.ModuleHandle);
            }
            catch (FileNotFoundException)
            {
                // a remote-only client
            }
        }
        return s_runtime;
    }

    internal static ILocalRuntime Get() => TryGet() ?? throw Errors.Throwable(ErrorCode.Unsupported,
        $"This trace would run here, but {Engine} is not installed in this program.",
        "Pass remote: true to run it on the service, or reference Ndif.Engine and a libtorch package to run it here.");
}
