using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>
/// The arguments of a call, bound to the positions of its <see cref="OpSchema"/> with defaults filled in. The accessors convert: a
/// tensor of one element to a number, a number or list of numbers to a tensor on the device of the context. An argument that cannot be
/// converted is a BAD_ARGUMENT error that names the operation, the parameter and the argument.
/// </summary>
internal readonly struct OpArguments(OpSchema schema, object?[] values, KernelContext context)
{
    public OpSchema Schema { get; } = schema;

    public KernelContext Context { get; } = context;

    public object? this[int position] => values[position];

    public int Count => values.Length;

    /// <summary>Whether the argument is not None.</summary>
    public bool Has(int position) => values[position] is not null;

    public bool IsList(int position) => values[position] is IReadOnlyList<object?> or Array;

    public bool IsNumber(int position) => Numbers.Is(values[position]);

    public Tensor Tensor(int position) => values[position] switch
    {
        Tensor tensor => tensor,
        null => throw Mismatch(position),
        { } value => AsTensor(position, value),
    };

    public Tensor? OptionalTensor(int position) => values[position] is null ? null : Tensor(position);

    /// <summary>
    /// Converts a number to a tensor as PyTorch converts scalars: to the element type of <paramref name="other"/> if its category
    /// permits.
    /// </summary>
    public Tensor TensorLike(int position, Tensor other) => values[position] switch
    {
        Tensor tensor => tensor,
        { } value when Numbers.Is(value) => Numbers.ToTensorLike(value, other, Context),
        _ => Tensor(position),
    };

    /// <summary>A list of tensors; numbers are converted to tensors.</summary>
    public Tensor[] Tensors(int position)
    {
        if (values[position] is not IReadOnlyList<object?> list) throw Mismatch(position);
        var tensors = new Tensor[list.Count];
        for (int i = 0; i < tensors.Length; i++)
            tensors[i] = list[i] as Tensor ?? AsTensor(position, list[i]);
        return tensors;
    }

    public long Int(int position) => Integer(position, values[position]);

    public long? OptionalInt(int position) => values[position] is null ? null : Int(position);

    /// <summary>An integer of 32 bits.</summary>
    public int Int32(int position) => Int(position) is >= int.MinValue and <= int.MaxValue and long value
        ? (int)value
        : throw Errors.CreateException(ErrorCode.BadArgument, $"{DescribeArgument(position)} is out of range: {values[position]}.");

    /// <summary>A list of integers; a single integer counts as a list of one.</summary>
    public long[] Ints(int position)
    {
        switch (values[position])
        {
            case long[] ready:
                return ready;
            case IReadOnlyList<object?> list:
                var integers = new long[list.Count];
                for (int i = 0; i < integers.Length; i++) integers[i] = Integer(position, list[i]);
                return integers;
            case Tensor { ndim: 1 } tensor when Numbers.IsInteger(tensor):
                KernelGuards.HasData(tensor, Schema.Name);
                KernelGuards.ListLength(Schema.Name, tensor.numel(), Context); // it may be expanded to more elements than memory
                return tensor.to(ScalarType.Int64).cpu().data<long>().ToArray();
            default:
                return [Int(position)];
        }
    }

    public long[]? OptionalInts(int position) => values[position] is null ? null : Ints(position);

    public double Float(int position) => Number(position) switch
    {
        double real => real,
        long integer => integer,
        bool flag => flag ? 1 : 0,
        _ => throw Mismatch(position),
    };

    public double? OptionalFloat(int position) => values[position] is null ? null : Float(position);

    /// <summary>long, double or bool.</summary>
    public object Number(int position) => Numbers.From(values[position], Schema.Name) ?? throw Mismatch(position);

    public Scalar Scalar(int position) => Numbers.ToScalar(Number(position));

    public bool Bool(int position) => Number(position) is bool flag ? flag : throw Mismatch(position);

    public string Text(int position) => values[position] as string ?? throw Mismatch(position);

    /// <summary>A string that must be one of the given names.</summary>
    public T Choice<T>(int position, params ReadOnlySpan<(string Name, T Value)> choices)
    {
        string text = Text(position);
        foreach ((string name, T value) in choices)
            if (name == text) return value;
        string[] names = new string[choices.Length];
        for (int i = 0; i < names.Length; i++) names[i] = $"'{choices[i].Name}'";
        throw Errors.CreateException(ErrorCode.BadArgument,
            $"{DescribeArgument(position)} must be {string.Join(" or ", names)}, not '{text}'.");
    }

    public ScalarType? DType(int position) => values[position] switch
    {
        null => null,
        ScalarType type => type,
        DType type => type.ToTorch(),
        DataType type => ((DType)type).ToTorch(),
        _ => throw Mismatch(position),
    };

    /// <summary>The given device, or that of the context.</summary>
    public Device Device(int position) => values[position] switch
    {
        null => Context.Device,
        Device device => CheckDevice(device),
        string name => CheckDevice(ParseDevice(position, name)),
        _ => throw Mismatch(position),
    };

    /// <summary>A tensor or a number: long, double or bool.</summary>
    public object Operand(int position) => values[position] switch
    {
        Tensor tensor => tensor,
        { } value when Numbers.Is(value) => Numbers.From(value, Schema.Name)!,
        _ => Tensor(position),
    };

    /// <summary>The error for an argument of the wrong type.</summary>
    public Exception Mismatch(int position) => Mismatch(position, values[position]);

    private Exception Mismatch(int position, object? value) => Errors.CreateException(ErrorCode.BadArgument,
        $"{DescribeArgument(position)} must be {Schema.Parameters[position].Type.SchemaName()}, not {Describe.Kind(value)}.",
        Describe.HintForTensorsIn(value) is { Length: > 0 } hint ? hint : Schema.Text);

    private string DescribeArgument(int position) =>
        $"{Schema.Name}(): argument '{Schema.Parameters[position].Name}' (position {position + 1})";

    private Tensor AsTensor(int position, object? value)
    {
        if (value is not (IReadOnlyList<object?> or Array) && !Numbers.Is(value)) throw Mismatch(position, value);
        if (value is IReadOnlyList<object?> list && Describe.HintForTensorsIn(list) is { Length: > 0 } hint)
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"{DescribeArgument(position)} must be {Schema.Parameters[position].Type.SchemaName()}, not {Describe.Kind(value)} "
                + $"of {list.Count}.", hint);
        return NestedLists.ToTensor(value, null, Context.Device, Context, Schema.Name);
    }

    private long Integer(int position, object? value) => Numbers.From(value, Schema.Name) switch
    {
        long integer => integer,
        bool flag when value is not bool => flag ? 1 : 0,
        _ => throw Mismatch(position, value),
    };

    /// <summary>Checks a device: a program runs on the device of its model, and may use the CPU. Other devices are rejected.</summary>
    private Device CheckDevice(Device device) =>
        device.type == Context.Device.type || (device.type == DeviceType.CPU && Context.Device.type != DeviceType.META) ? device
            : Context.Device.type == DeviceType.META ? Context.Device
            : throw Errors.CreateException(ErrorCode.BadArgument,
                $"{Schema.Name}(): there is no device `{device}` in this run; the model is on {Context.Device}.");

    private Device ParseDevice(int position, string name)
    {
        try
        {
            return new Device(name);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or InvalidOperationException
            or System.Runtime.InteropServices.ExternalException)
        {
            throw Errors.CreateException(ErrorCode.BadArgument, $"{DescribeArgument(position)}: there is no device `{name}`.", inner: e);
        }
    }
}
