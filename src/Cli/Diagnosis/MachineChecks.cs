using System.Runtime.Intrinsics.X86;
using Ndif.Models.Files;
using Ndif.Queue;

namespace Ndif.Cli.Diagnosis;

/// <summary>Checks this machine: the files of models, the processor, the GPU.</summary>
internal static class MachineChecks
{
    public static IEnumerable<CheckResult> Check(IEnumerable<string> models, string device)
    {
        foreach (string model in models) yield return CheckModel(model);
        yield return Avx512F.IsSupported ? new("processor", CheckLevel.Ok, "It has AVX-512.")
            : Avx2.IsSupported ? new("processor", CheckLevel.Ok, "It has AVX2.")
            : new("processor", CheckLevel.Warning, "It has neither AVX2 nor AVX-512: models run slowly on it.",
                "Use another machine or a GPU.");
        if (device.StartsWith("cuda", StringComparison.Ordinal)) yield return CheckGpu();
    }

    private static CheckResult CheckModel(string model)
    {
        try
        {
            ModelFolder found = ModelStore.Find(model);
            bool hasWeights = Checkpoint.IsComplete(found.Path);
            return hasWeights ? new($"model {model}", CheckLevel.Ok, $"Its files are in {found.Path}.")
                : new($"model {model}", CheckLevel.Error, $"{found.Path} has no weights, or not all of them.",
                    "Download the model again.");
        }
        catch (NdifException missing)
        {
            return new($"model {model}", CheckLevel.Error, missing.Message);
        }
    }

    private static CheckResult CheckGpu()
    {
        try
        {
            return TorchSharp.torch.cuda.is_available()
                ? new("gpu", CheckLevel.Ok, $"{TorchSharp.torch.cuda.device_count()} CUDA devices.")
                : new("gpu", CheckLevel.Error, "libtorch finds no CUDA device.",
                    "Check the driver (nvidia-smi), the container runtime, and that this build of ndif is the one with CUDA.");
        }
        catch (Exception failure) when (failure is TypeInitializationException or DllNotFoundException or NotSupportedException)
        {
            return new("gpu", CheckLevel.Error, $"libtorch cannot be loaded: {failure.Message}");
        }
    }
}
