using System.Runtime.CompilerServices;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// The rules of who disposes a tensor handle. A value slot owns the handles of its value, which belong to no dispose scope. The handles
/// that the model uses belong to the dispose scope of its pass. A handle never has two owners: a value that passes from one owner to the
/// other gets a second handle of the same memory.
/// </summary>
internal static class TensorOwnership
{
    /// <summary>Creates other handles of the same memory; they belong to the current dispose scope.</summary>
    public static object? Alias(object? value) => MapTensors(value, tensor => tensor.alias());

    /// <summary>Copies the memory of all tensors; the copies belong to the current dispose scope.</summary>
    public static object? Copy(object? value) => MapTensors(value, tensor => tensor.clone());

    /// <summary>Replaces the items of a list or dictionary by copies, which it owns.</summary>
    public static void CopyItems(object container)
    {
        using var scope = torch.NewDisposeScope();
        switch (container)
        {
            case List<object?> list:
                for (int i = 0; i < list.Count; i++) list[i] = Replace(list[i]);
                break;
            case Dictionary<string, object?> map:
                foreach (string key in map.Keys.ToArray()) map[key] = Replace(map[key]);
                break;
        }

        static object? Replace(object? item)
        {
            object? copy = TakeOwnership(Copy(item));
            DisposeTensors(item);
            return copy;
        }
    }

    /// <summary>
    /// Takes a new result out of the current dispose scope. Tensors that the producer had borrowed (<paramref name="borrowed"/>) get a
    /// second handle instead.
    /// </summary>
    public static object? TakeOwnership(object? value, HashSet<torch.Tensor>? borrowed = null) => MapTensors(value, tensor =>
        (borrowed is not null && borrowed.Contains(tensor) ? tensor.alias() : tensor).DetachFromDisposeScope());

    /// <summary>Collects all tensors in a value.</summary>
    public static void CollectTensors(object? value, HashSet<torch.Tensor> into) => ForEachTensor(value, tensor => into.Add(tensor));

    public static HashSet<torch.Tensor> NewTensorSet() => new(ReferenceComparer.Instance);

    /// <summary>Calls a function for each tensor in a value of a program or of a hook point.</summary>
    public static void ForEachTensor(object? value, Action<torch.Tensor> action)
    {
        switch (value)
        {
            case torch.Tensor tensor: action(tensor); break;
            case string: break;
            case Gradients.ProgramOptimizer optimizer:
                foreach (torch.Tensor parameter in optimizer.Parameters) action(parameter);
                break;
            case ModelOutput output: ForEachTensor(output.Entries, action); break;
            case Arguments arguments:
                ForEachTensor(arguments.Positional, action);
                ForEachTensor(arguments.Keywords, action);
                break;
            case IEnumerable<KeyValuePair<string, object?>> map:
                foreach (var entry in map) ForEachTensor(entry.Value, action);
                break;
            case IEnumerable<object?> items:
                foreach (object? item in items) ForEachTensor(item, action);
                break;
        }
    }

    /// <summary>Disposes all tensors in a value.</summary>
    public static void DisposeTensors(object? value)
    {
        switch (value)
        {
            case torch.Tensor tensor: tensor.Dispose(); break;
            case Gradients.ProgramOptimizer optimizer: optimizer.Dispose(); break;
            case string: break;
            case IEnumerable<KeyValuePair<string, object?>> map:
                foreach (var entry in map) DisposeTensors(entry.Value);
                break;
            case IEnumerable<object?> items:
                foreach (object? item in items) DisposeTensors(item);
                break;
        }
    }

    /// <summary>Maps the tensors in a value. Tuples, lists and dictionaries keep their types.</summary>
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
