namespace Ndif;

// Tensors made on the client.
public sealed partial class TensorData
{
    public static TensorData Zeros(ReadOnlySpan<long> shape, DType type = DType.Float32) => new(type, shape, new byte[ElementCount(shape) * type.ItemSize()]);

    public static TensorData Ones(ReadOnlySpan<long> shape, DType type = DType.Float32) => Full(shape, 1, type);

    /// <summary>Every element the same.</summary>
    public static TensorData Full(ReadOnlySpan<long> shape, double value, DType type = DType.Float32)
    {
        var bytes = new byte[ElementCount(shape) * type.ItemSize()];
        for (long i = 0; i < bytes.Length / type.ItemSize(); i++) WriteElement(bytes, type, i, value);
        return new TensorData(type, shape, bytes);
    }

    /// <summary>0, 1, 2, ... as int64.</summary>
    public static TensorData Arange(long count) => FromArray(Enumerable.Range(0, checked((int)count)).Select(i => (long)i).ToArray());

    /// <summary>
    /// Independent draws from the standard normal distribution, float32; the same numbers for the same seed on every machine. They
    /// are not those that PyTorch draws for this seed; <c>Op.Randn(..., seed)</c> gives these.
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
