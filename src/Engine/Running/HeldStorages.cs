using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Ndif.Models;
using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>
/// The memory of the tensors that a job holds. A storage counts once, with the range that tensors of the job have had of it, until the
/// last of them is freed: a view of one element keeps the whole tensor that it was taken from.
/// </summary>
/// <remarks>
/// A slice of a value of the model keeps the activations of the whole batch. The share of the job's rows counts, with their padding
/// (<see cref="CountShare"/>), because the other rows belong to others.
/// </remarks>
internal sealed class HeldStorages
{
    private readonly Dictionary<nint, Held> _storages = [];

    /// <summary>The bytes of all ranges.</summary>
    public long Bytes { get; private set; }

    /// <summary>Adds the tensors in a value.</summary>
    public void Add(object? value) => TensorOwnership.ForEachTensor(value, Add);

    /// <summary>Removes the tensors in a value, which have been added and are about to be freed.</summary>
    public void Remove(object? value) => TensorOwnership.ForEachTensor(value, Remove);

    private void Add(torch.Tensor tensor)
    {
        if (StorageOf(tensor) is not { } found) return;
        nint from = found.Elements, to = from + (nint)BytesOf(tensor);
        ref Held held = ref CollectionsMarshal.GetValueRefOrAddDefault(_storages, found.Storage, out bool exists);
        Held changed = exists
            ? held with { Tensors = held.Tensors + 1, From = Math.Min(held.From, from), To = Math.Max(held.To, to) }
            : new Held(1, from, to, 0);
        Bytes += changed.Bytes - held.Bytes;
        held = changed;
    }

    private void Remove(torch.Tensor tensor)
    {
        if (StorageOf(tensor) is not { } found) return;
        ref Held held = ref CollectionsMarshal.GetValueRefOrNullRef(_storages, found.Storage);
        if (Unsafe.IsNullRef(ref held)) return;
        if (held.Tensors > 1)
        {
            held = held with { Tensors = held.Tensors - 1 };
            return;
        }
        Bytes -= held.Bytes;
        _storages.Remove(found.Storage);
    }

    /// <summary>The bytes that count for a storage; 0 if none of its tensors is held.</summary>
    public long BytesOf(nint storage) => _storages.GetValueOrDefault(storage).Bytes;

    /// <summary>Counts at least the job's share of the tensors of a batch, where a tensor that was added is a slice of them.</summary>
    public void CountShare(BatchShare batch) =>
        TensorOwnership.ForEachTensor(batch.Value, tensor => CountPart(tensor, batch.Share));

    private void CountPart(torch.Tensor tensor, double share)
    {
        if (StorageOf(tensor) is not { } found) return;
        ref Held held = ref CollectionsMarshal.GetValueRefOrNullRef(_storages, found.Storage);
        if (Unsafe.IsNullRef(ref held)) return;
        Held changed = held with { Least = Math.Max(held.Least, (long)(share * BytesOf(tensor))) };
        Bytes += changed.Bytes - held.Bytes;
        held = changed;
    }

    /// <summary>Whether a tensor in a value has memory of one of these tensors.</summary>
    public static bool SharesMemory(object? value, IReadOnlyCollection<torch.Tensor> others)
    {
        bool isShared = false;
        TensorOwnership.ForEachTensor(value, tensor =>
            isShared |= StorageOf(tensor) is { Storage: var storage } && others.Any(other => StorageOf(other)?.Storage == storage));
        return isShared;
    }

    /// <summary>The addresses of a tensor's storage and of its first element; null if it has no memory.</summary>
    public static (nint Storage, nint Elements)? StorageOf(torch.Tensor tensor)
    {
        if (tensor.device_type is DeviceType.META) return null;
        nint elements = NativeTensor.DataPointer(tensor.Handle);
        return elements == 0 ? null : (elements - (nint)(tensor.storage_offset() * tensor.element_size()), elements);
    }

    /// <summary>The bytes from the first to the last element. An expanded tensor has fewer than its shape suggests.</summary>
    private static long BytesOf(torch.Tensor tensor)
    {
        long element = tensor.element_size(), bytes = tensor.numel() * element;
        if (bytes < ValueMemory.SmallTensorBytes || tensor.is_contiguous()) return bytes;
        long last = 0; // the offset of the last element
        long[] shape = tensor.shape, stride = tensor.stride();
        for (int dim = 0; dim < shape.Length; dim++) last += (shape[dim] - 1) * stride[dim];
        return (last + 1) * element;
    }

    /// <param name="Least">The bytes that count if the range has fewer.</param>
    private readonly record struct Held(int Tensors, nint From, nint To, long Least)
    {
        public long Bytes => Math.Max(To - From, Least);
    }
}
