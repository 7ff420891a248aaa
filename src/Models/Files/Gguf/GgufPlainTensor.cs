using static TorchSharp.torch;

namespace Ndif.Models.Files.Gguf;

/// <summary>A tensor of a GGUF file in a floating-point type: a view of the mapped file, or a copy in the order of Hugging Face.</summary>
/// <param name="order">The row of the file that has a row of Hugging Face's weight; null if they are the same.</param>
/// <param name="isTransposed">Hugging Face's weight is [inFeatures, rows].</param>
/// <param name="addedOne">One is subtracted.</param>
internal sealed class GgufPlainTensor(
    SafetensorsEntry entry, FileMapping mapping, long rows, long inFeatures, Func<long, long>? order, bool isTransposed, bool addedOne)
    : CheckpointTensor(entry)
{
    public override bool IsMapped => order is null && !isTransposed && !addedOne;

    public override Tensor Read()
    {
        ScalarType type = Entry.DType.Torch!.Value;
        if (IsMapped) return mapping.NewTensor(Entry.Offset, Entry.Shape, type, Entry.DType.Size);
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor stored = mapping.NewTensor(Entry.Offset, [rows, inFeatures], type, Entry.DType.Size).AttachToScope(); // [rows, inFeatures]
        if (order is not null)
        {
            long[] indices = new long[rows];
            for (long row = 0; row < rows; row++) indices[row] = order(row);
            stored = stored.index_select(0, tensor(indices));                                            // [rows, inFeatures]
        }
        Tensor weight = isTransposed ? stored.t().contiguous() : stored.view(Entry.Shape);              // the entry's shape
        if (addedOne) weight = weight - 1;
        return weight.clone().DetachFromDisposeScope();
    }

    public override void ReleasePages() => mapping.ReleasePages(Entry.Offset, Entry.Length);
}

file static class TensorScope
{
    /// <summary>Disposes a tensor with the current scope.</summary>
    public static Tensor AttachToScope(this Tensor tensor)
    {
        using (tensor) return tensor.alias();
    }
}
