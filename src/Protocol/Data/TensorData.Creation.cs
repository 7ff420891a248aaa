namespace Ndif;

// Tensors that the client creates.
public sealed partial class TensorData
{
    /// <summary>A tensor filled with 0.</summary>
    public static TensorData Zeros(ReadOnlySpan<long> shape, DType type = DType.Float32) =>
        new(type, shape, new byte[ElementCount(shape) * type.ItemSize()]);

    /// <summary>A tensor filled with 1.</summary>
    public static TensorData Ones(ReadOnlySpan<long> shape, DType type = DType.Float32) => Full(shape, 1, type);

    /// <summary>A tensor filled with one value.</summary>
    public static TensorData Full(ReadOnlySpan<long> shape, double value, DType type = DType.Float32)
    {
        var bytes = new byte[ElementCount(shape) * type.ItemSize()];
        ReadOnlySpan<byte> element = FromElements<double>([value], [], type).Bytes.Span;
        for (int i = 0; i < bytes.Length; i += element.Length) element.CopyTo(bytes.AsSpan(i));
        return new TensorData(type, shape, bytes);
    }

    /// <summary>The numbers from 0 to count - 1, as int64. [count]</summary>
    public static TensorData Arange(long count) => FromArray(Enumerable.Range(0, checked((int)count)).Select(i => (long)i).ToArray());

    /// <summary>
    /// Random numbers of the standard normal distribution, as float32: the same numbers for the same seed on every machine. PyTorch draws
    /// other numbers for this seed; <c>Op.Randn(..., seed)</c> gives those of PyTorch.
    /// </summary>
    public static TensorData Randn(ReadOnlySpan<long> shape, int seed)
    {
        var random = new Random(seed);
        var values = new float[ElementCount(shape)];
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return FromArray(values, shape);
    }

    private static long ElementCount(ReadOnlySpan<long> shape)
    {
        long count = 1;
        foreach (long size in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(size);
            count = checked(count * size);
        }
        return count;
    }
}
