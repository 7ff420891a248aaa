using System.Runtime.Intrinsics;

namespace Ndif.Models.CpuKernels;

/// <summary>An element type of a weight, which the kernels load as float32.</summary>
internal unsafe interface IElement
{
    /// <summary>The bytes of one element.</summary>
    static abstract int Size { get; }

    /// <summary>Loads sixteen elements.</summary>
    static abstract Vector512<float> Load(byte* address);

    /// <summary>Loads eight elements.</summary>
    static abstract Vector256<float> Load8(byte* address);

    static abstract float LoadScalar(byte* address);
}
