namespace Ndif.Models;

/// <summary>Arithmetic on tensor shapes.</summary>
internal static class TensorShape
{
    /// <summary>The number of elements of a shape.</summary>
    /// <exception cref="OverflowException">The number does not fit 64 bits.</exception>
    public static long ElementCount(ReadOnlySpan<long> shape)
    {
        long elements = 1;
        foreach (long size in shape) elements = checked(elements * size);
        return elements;
    }
}
