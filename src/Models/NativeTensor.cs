using System.Runtime.InteropServices;

namespace Ndif.Models;

/// <summary>Functions of TorchSharp's native library that its managed API does not expose.</summary>
internal static partial class NativeTensor
{
    /// <summary>The address of the elements of a tensor.</summary>
    [LibraryImport("LibTorchSharp", EntryPoint = "THSTensor_data")]
    public static partial nint DataPointer(nint tensor);
}
