namespace Ndif.Models.Layers;

/// <summary>Attention with linear biases: each head subtracts from a score in proportion to the distance of the key.</summary>
/// <remarks>build_alibi_tensor in transformers/models/bloom/modeling_bloom.py; Press et al., Train Short, Test Long, 2021</remarks>
internal static class Alibi
{
    /// <summary>A geometric series; heads beyond a power of two have every other slope of the next power's series.</summary>
    public static float[] Slopes(int heads)
    {
        int power = (int)Math.Pow(2, Math.Floor(Math.Log2(heads)));
        float first = (float)Math.Pow(2, -Math.Pow(2, 3 - Math.Log2(power)));
        float between = (float)Math.Pow(2, -Math.Pow(2, 3 - Math.Log2(2 * power)));
        return [.. Enumerable.Range(0, heads).Select(head =>
            head < power ? MathF.Pow(first, head + 1) : MathF.Pow(between, 2 * (head - power) + 1))];
    }
}
