using System.Diagnostics;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Kernels.Costs;

/// <summary>
/// The speed of a device, measured once, when an operation first costs so much that its time matters. It turns a cost into seconds. The
/// best of several runs counts, so that a busy machine is not taken for a slow one.
/// </summary>
internal sealed class Throughput
{
    private static readonly Lazy<Throughput> _cpu = new(() => Measure(CPU)), _other = new(() => Measure(CUDA));

    private static readonly Lazy<double> _float16 = new(() => MeasureProductFactor(ScalarType.Float16)),
        _bfloat16 = new(() => MeasureProductFactor(ScalarType.BFloat16));

    private readonly double _elementsPerSecond, _flopsPerSecond;

    private Throughput(double elementsPerSecond, double flopsPerSecond) =>
        (_elementsPerSecond, _flopsPerSecond) = (elementsPerSecond, flopsPerSecond);

    /// <summary>The seconds that a cost takes on a device. 0 without a measurement if it takes less than 50 ms on any.</summary>
    public static double Seconds(in OpCost cost, DeviceType device)
    {
        // fewer than the slowest processors compute in 50 ms
        if (cost.Elements <= 1e7 && cost.Flops <= 1e8) return 0;
        Throughput throughput = device == DeviceType.CUDA ? _other.Value : _cpu.Value;
        return cost.Elements / throughput._elementsPerSecond + cost.Flops / throughput._flopsPerSecond;
    }

    /// <summary>
    /// How much slower a processor multiplies matrices of float16 or bfloat16 than of float32. libtorch multiplies element by element what
    /// the processor has no instructions for.
    /// </summary>
    public static double ProductFactor(ScalarType type) => type == ScalarType.Float16 ? _float16.Value : _bfloat16.Value;

    private static double MeasureProductFactor(ScalarType type)
    {
        const int Side = 192, Runs = 8;
        const double MaxBlocked = 8, Unblocked = 1000; // the larger the matrices are, the more it waits for memory
        using var noGraph = no_grad();
        using var scope = NewDisposeScope();
        Tensor matrix = ones([Side, Side], type), reference = ones([Side, Side]);
        double seconds = double.MaxValue, secondsOfReference = double.MaxValue;
        for (int run = 0; run < Runs; run++) // in turn, so that a busy machine slows both
        {
            seconds = Math.Min(seconds, Time(() => matrix.mm(matrix), isCuda: false));
            secondsOfReference = Math.Min(secondsOfReference, Time(() => reference.mm(reference), isCuda: false));
        }
        double factor = seconds / secondsOfReference;
        return factor > MaxBlocked ? Unblocked : Math.Max(1, factor);
    }

    private static Throughput Measure(Device device)
    {
        const int Count = 1 << 20, Side = 512, Runs = 4;
        using var noGraph = no_grad();
        using var scope = NewDisposeScope();
        bool isCuda = device.type == DeviceType.CUDA;
        Tensor values = ones(Count, ScalarType.Float32, device), matrix = ones([Side, Side], ScalarType.Float32, device);
        double add = double.MaxValue, multiply = double.MaxValue;
        for (int run = 0; run < Runs; run++)
        {
            add = Math.Min(add, Time(() => values.add(values), isCuda));
            multiply = Math.Min(multiply, Time(() => matrix.mm(matrix), isCuda));
        }
        return new Throughput(Count / add, 2.0 * Side * Side * Side / multiply);
    }

    private static double Time(Func<Tensor> compute, bool isCuda)
    {
        if (isCuda) cuda.synchronize();
        long start = Stopwatch.GetTimestamp();
        using (compute())
            if (isCuda) cuda.synchronize();
        return Math.Max(Stopwatch.GetElapsedTime(start).TotalSeconds, 1e-6);
    }
}
