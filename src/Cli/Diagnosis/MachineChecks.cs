using System.Runtime.Intrinsics.X86;
using Ndif.Models.Files;
using Ndif.Queue.Redis;

namespace Ndif.Cli.Diagnosis;

/// <summary>Checks this machine: the files of models, the processor, the GPU.</summary>
internal static class MachineChecks
{
    public static IEnumerable<Finding> Check(IEnumerable<string> models, string device)
    {
        foreach (string model in models) yield return CheckModel(model);
        yield return Avx512F.IsSupported ? new("processor", FindingLevel.Ok, "It has AVX-512.")
            : Avx2.IsSupported ? new("processor", FindingLevel.Ok, "It has AVX2.")
            : new("processor", FindingLevel.Warning, "It has neither AVX2 nor AVX-512: models run slowly on it.",
                "Use another machine or a GPU.");
        if (device.StartsWith("cuda", StringComparison.Ordinal)) yield return CheckGpu();
    }

    private static Finding CheckModel(string model)
    {
        try
        {
            ModelFolder found = ModelStore.Find(model);
            bool hasWeights = Checkpoint.IsComplete(found.Path);
            return hasWeights ? new($"model {model}", FindingLevel.Ok, $"Its files are in {found.Path}.")
                : new($"model {model}", FindingLevel.Error, $"{found.Path} has no weights, or not all of them.",
                    "Download the model again.");
        }
        catch (NdifException missing)
        {
            return new($"model {model}", FindingLevel.Error, missing.Message);
        }
    }

    private static Finding CheckGpu()
    {
        try
        {
            return TorchSharp.torch.cuda.is_available()
                ? new("gpu", FindingLevel.Ok, $"{TorchSharp.torch.cuda.device_count()} CUDA devices.")
                : new("gpu", FindingLevel.Error, "libtorch finds no CUDA device.",
                    "Check the driver (nvidia-smi), the container runtime, and that this build of ndif is the one with CUDA.");
        }
        catch (Exception failure) when (failure is TypeInitializationException or DllNotFoundException or NotSupportedException)
        {
            return new("gpu", FindingLevel.Error, $"libtorch cannot be loaded: {failure.Message}");
        }
    }
}
