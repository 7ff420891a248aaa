namespace Ndif.Engine.Kernels;

/// <summary>
/// Arithmetic on shapes that saturates: a result that does not fit 64 bits is long.MaxValue, which exceeds every limit.
/// </summary>
internal static class ShapeMath
{
    public static long ElementCount(ReadOnlySpan<long> shape)
    {
        long elements = 1;
        foreach (long size in shape) elements = SaturatingMultiply(elements, size);
        return elements;
    }

    /// <summary>
    /// The elements of a shape whose empty dimensions count as 1: the most that a reduction or a product over those dimensions can have
    /// in its result. [20000, 0] has 20000.
    /// </summary>
    public static long ElementCountOfNonempty(ReadOnlySpan<long> shape)
    {
        long elements = 1;
        foreach (long size in shape) elements = SaturatingMultiply(elements, Math.Max(size, 1));
        return elements;
    }

    public static long SaturatingMultiply(long a, long b)
    {
        if (a == 0 || b == 0) return 0;
        try
        {
            return checked(a * b);
        }
        catch (OverflowException)
        {
            return long.MaxValue;
        }
    }

    /// <summary>The shape that two shapes broadcast to, or null.</summary>
    public static long[]? Broadcast(ReadOnlySpan<long> a, ReadOnlySpan<long> b)
    {
        var result = new long[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= result.Length; i++)
        {
            long left = i <= a.Length ? a[^i] : 1, right = i <= b.Length ? b[^i] : 1;
            if (left != right && left != 1 && right != 1) return null;
            result[^i] = left == 1 ? right : left;
        }
        return result;
    }

    /// <summary>The shape without some of its dimensions, which are counted from the front.</summary>
    public static long[] Without(long[] shape, params ReadOnlySpan<long> dims)
    {
        List<long> rest = [];
        for (int d = 0; d < shape.Length; d++)
            if (!dims.Contains(d)) rest.Add(shape[d]);
        return [.. rest];
    }

    /// <summary>The shape after a reduction; null reduces every dimension.</summary>
    public static long[] Reduce(ReadOnlySpan<long> shape, long[]? dims, bool keepdim)
    {
        var isReduced = new bool[shape.Length];
        if (dims is null or []) Array.Fill(isReduced, true);
        else foreach (long dim in dims) isReduced[dim < 0 ? dim + shape.Length : dim] = true;
        List<long> result = [];
        for (int i = 0; i < shape.Length; i++)
            if (!isReduced[i]) result.Add(shape[i]);
            else if (keepdim) result.Add(1);
        return [.. result];
    }
}
