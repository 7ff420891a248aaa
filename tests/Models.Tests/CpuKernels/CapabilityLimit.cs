using Ndif.Models.CpuKernels;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>Runs a test with the kernels of one instruction set, on every processor that has it.</summary>
internal sealed class CapabilityLimit : IDisposable
{
    private readonly CpuCapability _before = CpuCapabilities.Max;

    private CapabilityLimit() { }

    /// <summary>Limits the kernels to an instruction set; skips the test where the processor or libtorch lacks it.</summary>
    public static CapabilityLimit Of(CpuCapability capability)
    {
        CapabilityLimit limit = new();
        CpuCapabilities.Max = capability;
        CpuCapability current = CpuCapabilities.Current;
        if (current != capability) limit.Dispose();
        Assert.SkipUnless(current == capability, $"this processor or libtorch has no {capability}");
        return limit;
    }

    /// <summary>Limits the kernels to an instruction set, or to the highest below it; skips the test where there is none.</summary>
    public static CapabilityLimit Highest(CpuCapability capability)
    {
        CapabilityLimit limit = new();
        CpuCapabilities.Max = capability;
        if (CpuCapabilities.Current > CpuCapability.Default) return limit;
        limit.Dispose();
        Assert.Skip("this processor has no AVX2");
        return limit;
    }

    public void Dispose() => CpuCapabilities.Max = _before;
}
