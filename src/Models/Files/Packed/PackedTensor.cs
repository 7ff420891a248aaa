using static TorchSharp.torch;

namespace Ndif.Models.Files.Packed;

/// <summary>Reads a row of a packed weight.</summary>
/// <param name="row">The output feature.</param>
/// <param name="codes">[inFeatures]: receives the codes, see <see cref="BlockCode"/>.</param>
/// <param name="scales">[blocks]: receives the scales.</param>
/// <param name="offsets">[blocks]: receives the offsets; empty if the layout has none.</param>
internal delegate void RowReader(long row, Span<sbyte> codes, Span<float> scales, Span<float> offsets);

/// <summary>
/// A weight that the files have quantized by blocks. <see cref="Read"/> dequantizes it exactly, to float32;
/// <see cref="Loading.BlockWeight"/> keeps it packed.
/// </summary>
internal sealed unsafe class PackedTensor : CheckpointTensor
{
    private readonly RowReader _readRow;
    private readonly Action _releasePages;

    /// <param name="entry">
    /// The entry with the shape that the model's parameter has: the rows and the input features, or, if
    /// <paramref name="isTransposed"/>, the two swapped within each matrix of a stack.
    /// </param>
    /// <param name="readRow">May be called by several threads.</param>
    public PackedTensor(SafetensorsEntry entry, BlockLayout layout, bool isTransposed, RowReader readRow, Action releasePages) : base(entry)
    {
        (Layout, IsTransposed, _readRow, _releasePages) = (layout, isTransposed, readRow, releasePages);
    }

    public BlockLayout Layout { get; }

    /// <summary>Whether the parameter has its input features before its output features.</summary>
    public bool IsTransposed { get; }

    /// <summary>Whether the weight is one matrix that the CPU kernels can multiply as it is.</summary>
    public bool IsMultipliable => Entry.Shape.Length == 2 && Layout.IsMultipliable;

    public override Tensor Read()
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor rows = empty([Layout.Rows, Layout.InFeatures], ScalarType.Float32); // [rows, inFeatures]
        float* data = (float*)NativeTensor.DataPointer(rows.Handle);
        ForEachRow((row, codes, scales, offsets) =>
        {
            float* to = data + row * Layout.InFeatures;
            for (int k = 0; k < codes.Length; k++)
            {
                int block = k / Layout.BlockSize;
                float value = Layout.ValueOf(codes[k]);
                to[k] = Layout.HasOffsets ? MathF.FusedMultiplyAdd(value, scales[block], offsets[block]) : value * scales[block];
            }
        });
        long[] shape = Entry.Shape;
        if (!IsTransposed) return rows.view(shape).DetachFromDisposeScope();
        long[] stored = [.. shape[..^2], shape[^1], shape[^2]];
        return rows.view(stored).transpose(-1, -2).contiguous().DetachFromDisposeScope(); // the parameter's shape
    }

    /// <summary>Reads all rows, on several threads.</summary>
    public void ForEachRow(RowReader action)
    {
        const long PartElements = 1 << 18;
        long rowsPerPart = Math.Max(1, PartElements / Math.Max(1, Layout.InFeatures));
        Parallel.For(0, (Layout.Rows + rowsPerPart - 1) / rowsPerPart, part =>
        {
            Span<sbyte> codes = new sbyte[Layout.InFeatures];
            Span<float> scales = new float[Layout.BlocksPerRow], offsets = Layout.HasOffsets ? new float[Layout.BlocksPerRow] : [];
            for (long row = part * rowsPerPart; row < Math.Min(Layout.Rows, (part + 1) * rowsPerPart); row++)
            {
                _readRow(row, codes, scales, offsets);
                action(row, codes, scales, offsets);
            }
        });
    }

    public override void ReleasePages() => _releasePages();
}
