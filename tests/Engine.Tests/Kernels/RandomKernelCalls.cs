using Ndif.Engine.Kernels;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>Generates calls of random operations with arguments that are invalid and that a program can pass.</summary>
internal sealed class RandomKernelCalls(int seed)
{
    private readonly Random _random = new(seed);

    private static readonly long[][] _shapes =
        [[], [0], [1], [2], [3], [2, 3], [3, 2], [3, 3], [0, 3], [1, 1], [2, 2, 3], [1, 2, 3, 4], [2, 3, 3], [5]];

    private static readonly ScalarType[] _types =
    [
        ScalarType.Float32, ScalarType.Float32, ScalarType.Float32, ScalarType.Int64, ScalarType.Int64, ScalarType.Bool, ScalarType.Float64,
        ScalarType.Float16, ScalarType.BFloat16, ScalarType.Int32, ScalarType.Int8, ScalarType.Byte, ScalarType.Int16,
        ScalarType.ComplexFloat32,
    ];

    private static readonly long[] _ints =
        [0, 1, 1, 2, 2, 3, -1, -1, -2, 4, 7, 100, -100, int.MaxValue, int.MinValue, 1L + int.MaxValue, long.MaxValue, long.MinValue,
            1L << 40, -(1L << 40), 65];

    private static readonly double[] _reals =
        [0, 1, -1, 0.5, 2, 1e-30, 1e30, 1e308, double.NaN, double.PositiveInfinity, double.NegativeInfinity, -0.5];

    private static readonly string[] _texts =
        ["mean", "sum", "none", "batchmean", "floor", "trunc", "tanh", "constant", "reflect", "replicate", "circular", "L", "U", "reduced",
            "complete", "r", "fro", "nuc",
         "ij,jk->ik", "i,i", "...ij->...ji", "ii", "->", "i->ii", "cpu", "xy", "ij", ""];

    public OpSchema Schema { get; private set; } = null!;

    public object?[] Bound { get; private set; } = [];

    /// <summary>Generates the next call, in <see cref="Schema"/> and <see cref="Bound"/>, with its tensors on the device.</summary>
    public void Next(OpSchema[] rows, Device device)
    {
        Schema = rows[_random.Next(rows.Length)];
        Bound = [.. Schema.Parameters.Select(p => p.HasDefault && _random.Next(3) != 0 ? p.Default : p.Optional && _random.Next(8) == 0
            ? null : Argument(p, device))];
    }

    public string Describe() => $"{Schema.Name}({string.Join(", ", Bound.Select(Text))})";

    private object? Argument(OpParameter parameter, Device device) => _random.Next(40) == 0 ? Any(device, 0) : parameter.Type switch
    {
        OpType.Tensor => NewTensor(device),
        OpType.Operand => _random.Next(3) == 0 ? Number() : NewTensor(device),
        OpType.Tensors => List(_random.Next(4), () => NewTensor(device)),
        OpType.Int => Int(),
        OpType.Ints => _random.Next(3) == 0 ? (object)Int() : List(_random.Next(4), () => Int()),
        OpType.Float => Pick(_reals),
        OpType.Scalar => Number(),
        OpType.Bool => _random.Next(2) == 0,
        OpType.Text => Pick(_texts),
        OpType.DType => Pick(_types),
        OpType.Device => "cpu",
        _ => Any(device, 0),
    };

    private object? Any(Device device, int depth) => _random.Next(depth > 2 ? 7 : 10) switch
    {
        0 => null,
        1 => Number(),
        2 => Int(),
        3 => Pick(_texts),
        4 => NewTensor(device),
        5 => EllipsisValue.Instance,
        6 => new SliceValue(_random.Next(2) == 0 ? null : Int(), _random.Next(2) == 0 ? null : Int(), _random.Next(2) == 0 ? null : Int()),
        7 => List(_random.Next(4), () => Any(device, depth + 1)).ToArray(),
        8 => List(_random.Next(4), () => Any(device, depth + 1)),
        _ => List(_random.Next(4), () => Int()),
    };

    private object Number() => _random.Next(3) switch { 0 => (object)Int(), 1 => Pick(_reals), _ => _random.Next(2) == 0 };

    private long Int() => Pick(_ints);

    private T Pick<T>(T[] from) => from[_random.Next(from.Length)];

    private static List<object?> List(int count, Func<object?> item)
    {
        List<object?> list = [];
        for (int i = 0; i < count; i++) list.Add(item());
        return list;
    }

    private Tensor NewTensor(Device device)
    {
        ScalarType type = Pick(_types);
        long[] shape = Pick(_shapes);
        long count = ShapeMath.ElementCount(shape);
        bool wild = _random.Next(4) == 0;
        Tensor flat = Enumerable.Contains([ScalarType.Int64, ScalarType.Int32], type)
            ? tensor(Values(count, () => wild ? Pick(type == ScalarType.Int64 ? _ints : [int.MinValue, -1, 0, int.MaxValue])
                : _random.Next(-1, 4)))
            : tensor(Values(count, () => wild ? Pick(_reals) : _random.NextDouble() * 3));
        Tensor made = flat.to(type == ScalarType.Bool ? type : type == ScalarType.ComplexFloat32 ? ScalarType.Float32 : type).to(type)
            .reshape(shape).to(device);
        if (is_floating_point(type) && _random.Next(6) == 0) made.requires_grad_();
        return _random.Next(8) == 0 && made.ndim >= 2 ? made.transpose(0, 1) : made;
    }

    private static T[] Values<T>(long count, Func<T> next)
    {
        var values = new T[count];
        for (int i = 0; i < values.Length; i++) values[i] = next();
        return values;
    }

    private static string Text(object? value) => value switch
    {
        null => "None",
        Tensor { device_type: DeviceType.META } meta => $"meta {meta.dtype}{Engine.Kernels.Describe.Shape(meta)}",
        Tensor tensor => $"{tensor.dtype}{Engine.Kernels.Describe.Shape(tensor)}{{{string.Join(",", FewElements(tensor))}}}",
        string text => $"'{text}'",
        System.Collections.IList list => $"[{string.Join(", ", list.Cast<object?>().Select(Text))}]",
        _ => $"{value}",
    };

    private static double[] FewElements(Tensor tensor) => tensor.numel() is 0 or > 12 || is_complex(tensor.dtype) ? []
        : tensor.detach().to(ScalarType.Float64).contiguous().data<double>().ToArray();
}
