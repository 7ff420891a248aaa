using System.Runtime.CompilerServices;

namespace Ndif.Models.Tests.CpuKernels;

/// <summary>The tests use the default kernels, whatever is fastest on this machine.</summary>
internal static class UnmeasuredKernels
{
#pragma warning disable CA2255 // the tests of a project, not a library
    [ModuleInitializer]
    internal static void Use() => Environment.SetEnvironmentVariable("NDIF_CPU_KERNEL_CACHE", "");
#pragma warning restore CA2255
}
