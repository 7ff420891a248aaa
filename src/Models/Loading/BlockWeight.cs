using System.Runtime.InteropServices;
using Ndif.Models.CpuKernels;
using Ndif.Models.Files.Packed;
using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// A weight in four or eight bits by blocks, as its file has it: codes, and a scale and sometimes an offset for each block of a row. The
/// CPU kernels multiply it as it is (<see cref="BlockGemm"/>); libtorch gets a dequantized copy for each use. Both have the values of the
/// dequantized weight, to the last bit.
/// </summary>
internal sealed unsafe class BlockWeight : IDisposable
{
    private readonly bool _isTransposed;
    private readonly Tensor _codes;     // [rows, bytes of a row's codes] uint8
    private readonly Tensor _scales;    // [rows, blocks]
    private readonly Tensor? _offsets;  // [rows, blocks]
    private BlockView* _view;

    private BlockWeight(PackedTensor source, Tensor codes, Tensor scales, Tensor? offsets, ScalarType dtype)
    {
        (_isTransposed, _codes, _scales, _offsets, DType) = (source.IsTransposed, codes, scales, offsets, dtype);
        BlockLayout layout = source.Layout;
        _view = (BlockView*)NativeMemory.AlignedAlloc((nuint)sizeof(BlockView), 64);
        *_view = new BlockView((byte*)NativeTensor.DataPointer(codes.Handle), (float*)NativeTensor.DataPointer(scales.Handle),
            offsets is null ? null : (float*)NativeTensor.DataPointer(offsets.Handle), layout);
    }

    ~BlockWeight() => NativeMemory.AlignedFree(_view);

    public long Rows => _view->Rows;

    public int InFeatures => _view->InFeatures;

    /// <summary>The element type of the dequantized weight, and of the activations that it is multiplied with.</summary>
    public ScalarType DType { get; }

    /// <summary>The codes, whose identity is that of the weight.</summary>
    public Tensor Codes => _codes;

    /// <summary>Codes, scales and offsets.</summary>
    public IReadOnlyList<Tensor> Tensors => _offsets is null ? [_codes, _scales] : [_codes, _scales, _offsets];

    /// <summary>The memory of the weight.</summary>
    public BlockView* View => _view;

    /// <summary>The bytes in memory.</summary>
    public long Bytes => _codes.numel() + (_scales.numel() + (_offsets?.numel() ?? 0)) * sizeof(float);

    /// <summary>Reads a weight from the files.</summary>
    /// <param name="source">Multipliable.</param>
    /// <param name="dtype">The element type of the dequantized weight.</param>
    public static BlockWeight Create(PackedTensor source, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        BlockLayout layout = source.Layout;
        Tensor codes = empty([layout.Rows, layout.CodeBytesPerRow], ScalarType.Byte);
        Tensor scales = empty([layout.Rows, layout.BlocksPerRow], ScalarType.Float32);
        Tensor? offsets = layout.HasOffsets ? empty([layout.Rows, layout.BlocksPerRow], ScalarType.Float32) : null;
        byte* codeData = (byte*)NativeTensor.DataPointer(codes.Handle);
        float* scaleData = (float*)NativeTensor.DataPointer(scales.Handle);
        float* offsetData = offsets is null ? null : (float*)NativeTensor.DataPointer(offsets.Handle);
        source.ForEachRow((row, rowCodes, rowScales, rowOffsets) =>
        {
            Span<byte> packed = new(codeData + row * layout.CodeBytesPerRow, layout.CodeBytesPerRow);
            if (layout.Code == BlockCode.Nibble) PackNibbles(rowCodes, packed);
            else MemoryMarshal.AsBytes(rowCodes).CopyTo(packed);
            rowScales.CopyTo(new Span<float>(scaleData + row * rowScales.Length, rowScales.Length));
            rowOffsets.CopyTo(new Span<float>(offsetData + row * rowOffsets.Length, rowOffsets.Length));
        });
        return new BlockWeight(source, codes.DetachFromDisposeScope(), scales.DetachFromDisposeScope(), offsets?.DetachFromDisposeScope(),
            dtype);
    }

    /// <summary>Groups of 32 codes: sixteen in the low nibbles of sixteen bytes, sixteen in the high ones.</summary>
    private static void PackNibbles(ReadOnlySpan<sbyte> codes, Span<byte> packed)
    {
        for (int i = 0; i < packed.Length; i++)
        {
            int at = i / 16 * 32 + i % 16;
            packed[i] = (byte)((byte)codes[at] | ((byte)codes[at + 16] << 4));
        }
    }

    /// <summary>The dequantized weight, which belongs to the current dispose scope.</summary>
    public Tensor Dequantize()
    {
        const int PartRows = 64;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        Tensor wide = empty([Rows, InFeatures], ScalarType.Float32); // [rows, inFeatures]
        float* data = (float*)NativeTensor.DataPointer(wide.Handle);
        BlockView* view = _view;
        KernelThreadPool.ParallelFor((int)((Rows + PartRows - 1) / PartRows), part =>
        {
            for (long row = (long)part * PartRows; row < Math.Min(view->Rows, (part + 1L) * PartRows); row++)
                view->Widen(row, 0, view->InFeatures, data + row * view->InFeatures);
        });
        if (_isTransposed) wide = wide.t().contiguous();      // the parameter's shape
        return wide.to(DType).MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _codes.Dispose();
        _scales.Dispose();
        _offsets?.Dispose();
        NativeMemory.AlignedFree(_view);
        _view = null;
        GC.SuppressFinalize(this);
    }
}
