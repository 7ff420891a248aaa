using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Kernels;

/// <summary>Describes values in error messages.</summary>
internal static class Describe
{
    /// <summary>[2, 3]</summary>
    public static string Shape(ReadOnlySpan<long> shape) => $"[{string.Join(", ", shape.ToArray())}]";

    public static string Shape(Tensor tensor) => Shape(tensor.shape);

    public static string Kind(object? value) => value switch
    {
        null => "None",
        Tensor tensor => $"a {TypeName(tensor.dtype)} tensor of shape {Shape(tensor)}",
        long or int => $"the int {value}",
        double or float => FormattableString.Invariant($"the float {value}"),
        bool flag => flag ? "True" : "False",
        string text => $"the str '{text}'",
        object?[] => "a tuple",
        System.Collections.IList => "a list",
        SliceValue => "a slice",
        EllipsisValue => "'...'",
        IReadOnlyDictionary<string, object?> => "a dict",
        ScalarType type => $"the dtype {TypeName(type)}",
        _ => $"a {value.GetType().Name}",
    };

    /// <summary>
    /// As <see cref="Kind"/> for values of sites: the shape of a tensor without its element type, and the length of a tuple or list.
    /// </summary>
    public static string SiteValue(object? value) => value switch
    {
        Tensor tensor => $"a tensor of shape {Shape(tensor)}",
        object?[] tuple => $"a tuple of {tuple.Length}",
        Models.ModelOutput => "a dict",
        IReadOnlyList<object?> list => $"a list of {list.Count}",
        _ => Kind(value),
    };

    /// <summary>How to reach the tensors in a value that is none, such as the output of a module; empty for another value.</summary>
    public static string HintForTensorsIn(object? value) => value switch
    {
        IReadOnlyList<object?> { Count: > 0 } list when list[0] is Tensor =>
            "A module that returns a tuple, such as a decoder layer, has its tensor at Output[0], and as Hidden. "
                + "Op.Stack(...) makes a tensor of several.",
        IReadOnlyDictionary<string, object?> map when map.FirstOrDefault(e => e.Value is Tensor).Key is { } name =>
            $"Take one of its entries: `[\"{name}\"]`.",
        _ => "",
    };

    public static string TypeName(ScalarType type) => type.ToData()?.TorchName() ?? type.ToString().ToLowerInvariant();

    /// <summary>The tensors of a call with their shapes: "self [2, 3], other [4]".</summary>
    public static string Tensors(OpSchema schema, object?[] bound)
    {
        List<string> parts = [];
        for (int i = 0; i < bound.Length; i++)
        {
            if (bound[i] is Tensor { IsInvalid: false } tensor)
                parts.Add($"{schema.Parameters[i].Name} {Shape(tensor)}");
            else if (bound[i] is IReadOnlyList<object?> list && schema.Parameters[i].Type == OpType.Tensors)
                parts.Add($"{schema.Parameters[i].Name} {string.Join(", ", list.Take(8).OfType<Tensor>().Select(Shape))}");
        }
        return string.Join(", ", parts);
    }
}
