using System.Runtime.InteropServices;

namespace Ndif.Models;

/// <summary>What TorchSharp's native library can do with a tensor and its managed side does not offer.</summary>
internal static partial class NativeTensor
{
    /// <summary>Where a tensor's elements are, of whatever size.</summary>
    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_data")]
    public static partial nint DataPointer(nint tensor);
}
