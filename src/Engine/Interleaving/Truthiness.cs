using Ndif.Engine.Kernels;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Interleaving;

/// <summary>
/// The truth value of a condition: true for a number that is not 0, a tensor of one element that is not 0, and a string or list that is
/// not empty.
/// </summary>
internal static class Truthiness
{
    public static bool Of(object? value) => value switch
    {
        null => false,
        bool flag => flag,
        long integer => integer != 0,
        double real => real != 0,
        string text => text.Length > 0,
        torch.Tensor tensor when tensor.numel() == 1 => IsTrue(tensor),
        torch.Tensor tensor => throw Errors.CreateException(ErrorCode.BadArgument,
            $"Boolean value of Tensor with {(tensor.numel() == 0 ? "no values" : "more than one value")} is ambiguous.",
            "Reduce it first: value.All(), value.Any()."),
        object?[] { Length: > 0 } tuple when tuple[0] is torch.Tensor => throw Errors.CreateException(ErrorCode.BadArgument,
            $"A tuple of {tuple.Length} is no condition.", Describe.HintForTensorsIn(tuple)),
        IReadOnlyList<object?> list => list.Count > 0,
        _ => true,
    };

    private static bool IsTrue(torch.Tensor tensor)
    {
        using torch.Tensor asBool = tensor.to(torch.ScalarType.Bool);
        return asBool.item<bool>();
    }
}
