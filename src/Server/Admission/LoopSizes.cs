using Google.Protobuf.Collections;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Server.Admission;

/// <summary>Reads from a program how often a loop over values runs, and how large a tensor is that an operation creates.</summary>
internal static class LoopSizes
{
    /// <summary>The number of values of a loop, and the size of one; 1 if the program does not say it.</summary>
    public static (double Count, ValueSize Element) GetItems(Argument? items, ValueSize size, Program program)
    {
        if (size.Shape is { Length: > 0 } shape) return (Math.Max(1, shape[0]), size with { Shape = shape[1..] });
        int count = items?.ValueCase switch
        {
            Argument.ValueOneofCase.List => items.List.Items.Count,
            Argument.ValueOneofCase.Tuple => items.Tuple.Items.Count,
            Argument.ValueOneofCase.Map => items.Map.Entries.Count,
            Argument.ValueOneofCase.Node when items.Node < program.Nodes.Count
                && program.Nodes[(int)items.Node].Container is { } container => container.Items.Count + container.Entries.Count,
            _ => 1,
        };
        double elementBytes = size.ContainerBytes / Math.Max(1, count);
        return (Math.Max(1, count), elementBytes > 0 ? new ValueSize(null, 0, elementBytes) : ValueSize.Scalar);
    }

    /// <summary>The size of the result of an operation whose arguments give its shape; null for all others.</summary>
    public static ValueSize? GetCreatedSize(Call call, Func<Argument?, ValueSize> getSize)
    {
        Argument? first = call.Arguments.FirstOrDefault(), second = call.Arguments.ElementAtOrDefault(1);
        double[]? shape = call.Op switch
        {
            "zeros" or "ones" or "full" or "rand" or "randn" => GetIntegers(first),
            "randint" => GetIntegers(call.Arguments.ElementAtOrDefault(2)),
            "randperm" => GetNumber(first) is { } n ? [n] : null,
            "arange" => GetArangeLength(call.Arguments) is { } length ? [length] : null,
            "linspace" or "logspace" => GetNumber(call.Arguments.ElementAtOrDefault(2)) is { } steps ? [steps] : null,
            "eye" => GetNumber(first) is { } rows ? [rows, GetNumber(second) ?? rows] : null,
            "expand" => getSize(first).Shape is { } old && GetIntegers(second) is { } wanted ? Expand(old, wanted) : null,
            "repeat" or "tile" => getSize(first).Shape is { } one && GetIntegers(second) is { } times ? Repeat(one, times) : null,
            _ => null,
        };
        if (shape is null or { Length: > ProgramFormat.MaxRank }) return null; // no tensor has as many dimensions: the run refuses it
        DataType type = call.Keywords.TryGetValue("dtype", out Argument? given) && given.ValueCase is Argument.ValueOneofCase.Dtype
            ? given.Dtype : DataType.Unspecified;
        double elementBytes = call.Op is "expand" or "repeat" or "tile" ? getSize(first).ElementBytes
            : type is DataType.Unspecified && call.Op is "arange" or "randint" or "randperm" ? sizeof(long) : GetElementBytes(type);
        return new ValueSize(shape, elementBytes);
    }

    private static double GetElementBytes(DataType type) =>
        Enum.IsDefined((DType)type) || type is DataType.Unspecified ? ValueSize.GetElementBytes(type) : sizeof(float);

    private static double[]? GetIntegers(Argument? argument) => argument switch
    {
        { ValueCase: Argument.ValueOneofCase.Integer } => [Math.Max(0, argument.Integer)],
        { ValueCase: Argument.ValueOneofCase.List } => [.. argument.List.Items.Select(item => GetNumber(item) ?? 1)],
        { ValueCase: Argument.ValueOneofCase.Tuple } => [.. argument.Tuple.Items.Select(item => GetNumber(item) ?? 1)],
        _ => null,
    };

    private static double? GetNumber(Argument? argument) => argument?.ValueCase switch
    {
        Argument.ValueOneofCase.Integer => Math.Max(-1, argument.Integer),
        Argument.ValueOneofCase.Real => argument.Real,
        _ => null,
    };

    private static double? GetArangeLength(RepeatedField<Argument> arguments)
    {
        if (arguments.Count == 0 || arguments.Any(a =>
            a.ValueCase is not (Argument.ValueOneofCase.Integer or Argument.ValueOneofCase.Real)))
            return null;
        double[] numbers = [.. arguments.Select(a => a.ValueCase is Argument.ValueOneofCase.Real ? a.Real : a.Integer)];
        (double start, double end) = numbers.Length == 1 ? (0, numbers[0]) : (numbers[0], numbers[1]);
        double step = numbers.Length > 2 ? numbers[2] : 1;
        return step == 0 || !double.IsFinite(end - start) ? null : Math.Max(0, Math.Ceiling((end - start) / step));
    }

    private static double[] Expand(double[] shape, double[] wanted) => [.. wanted.Select((size, at) =>
        size >= 0 ? size : at - wanted.Length + shape.Length is >= 0 and var old ? shape[old] : 1)];

    private static double[] Repeat(double[] shape, double[] times)
    {
        int rank = Math.Max(shape.Length, times.Length);
        return [.. Enumerable.Range(0, rank).Select(at =>
            (at - rank + shape.Length is >= 0 and var old ? shape[old] : 1)
            * (at - rank + times.Length is >= 0 and var by ? times[by] : 1))];
    }
}
