using System.Runtime.CompilerServices;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// Who disposes which tensor. A slot owns the handles of its value, outside of any dispose scope; what the model sees belongs
/// to the scope of its pass. A handle is never shared: what goes from one to the other is a second handle of the same memory.
/// </summary>
internal static class TensorOwnership
{
    /// <summary>Another handle of the same memory, for another owner; it belongs to the current dispose scope.</summary>
    public static object? Alias(object? value) => MapTensors(value, tensor => tensor.alias());

    /// <summary>
    /// Takes a fresh result out of the current dispose scope. Tensors that the producer was lent (<paramref name="borrowed"/>) get a
    /// second handle.
    /// </summary>
    public static object? TakeOwnership(object? value, HashSet<torch.Tensor>? borrowed = null) => MapTensors(value, tensor =>
        (borrowed is not null && borrowed.Contains(tensor) ? tensor.alias() : tensor).DetachFromDisposeScope());

    /// <summary>All tensors within a value.</summary>
    public static void CollectTensors(object? value, HashSet<torch.Tensor> into)
    {
        switch (value)
        {
            case torch.Tensor tensor: into.Add(tensor); break;
            case string: break;
            case IEnumerable<KeyValuePair<string, object?>> map:
                foreach (var entry in map) CollectTensors(entry.Value, into);
                break;
            case IEnumerable<object?> items:
                foreach (object? item in items) CollectTensors(item, into);
                break;
        }
    }

    public static HashSet<torch.Tensor> NewTensorSet() => new(ReferenceComparer.Instance);

    /// <summary>Disposes all tensors within a value that its owner gives up.</summary>
    public static void DisposeTensors(object? value)
    {
        switch (value)
        {
            case torch.Tensor tensor: tensor.Dispose(); break;
            case Gradients.ProgramOptimizer training: training.Dispose(); break;
            case string: break;
            case IEnumerable<KeyValuePair<string, object?>> map:
                foreach (var entry in map) DisposeTensors(entry.Value);
                break;
            case IEnumerable<object?> items:
                foreach (object? item in items) DisposeTensors(item);
                break;
        }
    }

    /// <summary>The same structure with other tensors: tuples stay tuples, lists lists, maps maps.</summary>
    public static object? MapTensors(object? value, Func<torch.Tensor, torch.Tensor> change) => value switch
    {
        torch.Tensor tensor => change(tensor),
        string text => text,
        Dictionary<string, object?> map => map.ToDictionary(e => e.Key, e => MapTensors(e.Value, change)),
        object?[] tuple => Array.ConvertAll(tuple, item => MapTensors(item, change)),
        List<object?> list => list.ConvertAll(item => MapTensors(item, change)),
        _ => value,
    };

    private sealed class ReferenceComparer : IEqualityComparer<torch.Tensor>
    {
        public static readonly ReferenceComparer Instance = new();

        public bool Equals(torch.Tensor? a, torch.Tensor? b) => ReferenceEquals(a, b);

        public int GetHashCode(torch.Tensor tensor) => RuntimeHelpers.GetHashCode(tensor);
    }
}
