using Ndif.Engine.Kernels;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>On meta tensors every operation gives the shapes of the real run, or reports that it needs the elements.</summary>
public sealed class MetaKernelTests
{
    static MetaKernelTests() => NativeTorch.Initialize();

    /// <summary>Operations whose result shape depends on elements.</summary>
    private static readonly HashSet<string> _needElements =
    [
        "allclose", "equal", "item", "tolist", "masked_select", "nonzero", "argwhere", "unique", "bincount", "repeat_interleave", "one_hot",
        "getitem", "setitem_", "index_put", "index_put_", "linalg_lstsq",
    ];

    public static TheoryData<string> Cases() => [.. KernelCase.Lines().Where(line => !line.Contains(" !! ", StringComparison.Ordinal))];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Scan_GivesTheShapesOfARun(string line)
    {
        var kernelCase = new KernelCase(line);
        KernelContext real = new(), shapes = new() { Device = META };
        using var scope = NewDisposeScope();
        object? run = kernelCase.Run(kernelCase.Bind(real), real), scan;
        try
        {
            scan = kernelCase.Run(kernelCase.Bind(shapes), shapes);
        }
        catch (Exception e) when (Errors.FromException(e).Code == ErrorCode.Unsupported && _needElements.Contains(kernelCase.Schema.Name))
        {
            return;
        }
        Assert.Equal(ShapeOf(run), ShapeOf(scan));
    }

    private static string ShapeOf(object? value) => value switch
    {
        Tensor tensor => $"{tensor.dtype}{Describe.Shape(tensor)}",
        IReadOnlyList<object?> items => $"({string.Join(", ", items.Select(ShapeOf))})",
        _ => $"{value}",
    };
}
