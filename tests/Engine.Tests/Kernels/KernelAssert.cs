using TorchSharp;
using Ndif.Engine.Kernels;
using static TorchSharp.torch;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>Compares the result of a kernel with the expectation of a case.</summary>
internal static class KernelAssert
{
    private static readonly KernelContext _context = new();

    public static void Equal(string line, object? expected, object? actual)
    {
        switch (actual)
        {
            case Tensor tensor:
                TensorEqual(line, expected, tensor);
                break;
            case IReadOnlyList<object?> items:
                var list = (expected as IReadOnlyList<object?>)!;
                True(list is not null && list.Count == items.Count, line, $"{items.Count} items");
                for (int i = 0; i < items.Count; i++) Equal(line, list![i], items[i]);
                break;
            case double number:
                double wanted = expected is double real ? real : double.NegativeInfinity;
                True(wanted.Equals(number) || Math.Abs(wanted - number) <= 1e-4 + (1e-4 * Math.Abs(wanted)), line, $"{number}");
                break;
            default:
                True(Equals(expected, actual), line, $"{actual ?? "None"} ({actual?.GetType().Name})");
                break;
        }
    }

    private static void TensorEqual(string line, object? expected, Tensor actual)
    {
        True(expected is TensorLiteral or List<object?>, line, "a tensor");
        object? data = expected is TensorLiteral typed ? typed.Data : expected;
        Tensor wanted = NestedLists.ToTensor(data, (expected as TensorLiteral)?.Type, CPU, _context, "expected");
        string text = actual.cpu().ToString(TorchSharp.TensorStringStyle.Numpy);
        True(wanted.shape.SequenceEqual(actual.shape), line, $"shape {Describe.Shape(actual)}: {text}");
        True(wanted.dtype == actual.dtype, line, $"{actual.dtype}: {text}");
        if (actual.numel() == 0) return;
        double tolerance = actual.dtype is ScalarType.BFloat16 or ScalarType.Float16 ? 1e-2 : 1e-4;
        True(wanted.to(ScalarType.Float64).allclose(actual.cpu().to(ScalarType.Float64), tolerance, tolerance, equal_nan: true), line,
            text);
    }

    private static void True(bool holds, string line, string actual) => Xunit.Assert.True(holds, $"{line}\nactually {actual}");
}
