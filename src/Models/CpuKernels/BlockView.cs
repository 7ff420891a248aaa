using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Ndif.Models.Files.Packed;

namespace Ndif.Models.CpuKernels;

/// <summary>The memory of a weight in four or eight bits by blocks, see <see cref="BlockLayout"/>.</summary>
internal unsafe struct BlockView
{
    private readonly byte* _codes;
    private readonly float* _scales, _offsets;
    private readonly int _codeBytesPerRow, _blocksPerRow, _blockSize;
    private readonly BlockCode _code;
    private fixed float _values[16];
    private fixed sbyte _bytes[16]; // the same values

    /// <param name="codes">[rows, bytes of a row]</param>
    /// <param name="scales">[rows, blocks]</param>
    /// <param name="offsets">[rows, blocks], or null</param>
    public BlockView(byte* codes, float* scales, float* offsets, BlockLayout layout)
    {
        _codes = codes;
        _scales = scales;
        _offsets = offsets;
        (_codeBytesPerRow, _blocksPerRow, _blockSize, _code) = (layout.CodeBytesPerRow, layout.BlocksPerRow, layout.BlockSize, layout.Code);
        (Rows, InFeatures) = (layout.Rows, layout.InFeatures);
        for (int i = 0; i < layout.Values.Count; i++) _values[i] = _bytes[i] = layout.Values[i];
    }

    public long Rows { get; }

    public int InFeatures { get; }

    /// <summary>The bytes of a row's codes.</summary>
    public readonly int CodeBytesPerRow => _codeBytesPerRow;

    /// <summary>The address of a row's codes.</summary>
    public readonly byte* CodesOf(long row) => _codes + row * _codeBytesPerRow;

    /// <summary>Dequantizes a part of a row.</summary>
    /// <param name="from">The first input feature: a multiple of 32.</param>
    /// <param name="count">The number of input features, a multiple of 16.</param>
    /// <param name="to">Receives the elements.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Widen(long row, int from, int count, float* to)
    {
        byte* codes = CodesOf(row);
        float* scales = _scales + row * _blocksPerRow, offsets = _offsets is null ? null : _offsets + row * _blocksPerRow;
        fixed (float* floats = _values)
        fixed (sbyte* bytes = _bytes)
        {
            (Vector512<float> table, Vector128<byte> byteTable) = (Vector512.Load(floats), Vector128.Load((byte*)bytes));
            switch (_code)
            {
                case BlockCode.Nibble when _blockSize % 32 == 0: WidenNibbles(codes, scales, offsets, table, byteTable, from, count,
                    to); break;
                case BlockCode.Nibble: WidenHalfGroups(codes, scales, offsets, table, byteTable, from, count, to); break;
                case BlockCode.Int8: WidenBytes(codes, scales, offsets, from, count, to, isFloat8: false); break;
                default: WidenBytes(codes, scales, offsets, from, count, to, isFloat8: true); break;
            }
        }
    }

    /// <summary>Nibbles whose blocks are whole groups of 32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void WidenNibbles(byte* codes, float* scales, float* offsets, Vector512<float> table, Vector128<byte> byteTable,
        int from, int count, float* to)
    {
        int end = from + count, block = from / _blockSize; // not divided again: a division takes as long as a block
        for (int k = from; k < end; block++)
        {
            int blockEnd = (int)Math.Min(end, (block + 1L) * _blockSize);
            Vector512<float> scale = Vector512.Create(scales[block]);
            Vector512<float> offset = offsets is null ? default : Vector512.Create(offsets[block]);
            for (; k < blockEnd; k += 32, to += 32)
            {
                Vector128<byte> packed = Vector128.Load(codes + k / 2);
                Vector512<float> low = Lookup(table, byteTable, packed & Vector128.Create((byte)15)),
                    high = Lookup(table, byteTable, packed >>> 4);
                if (offsets is null)
                {
                    Vector512.Store(low * scale, to);
                    if (k + 16 < blockEnd) Vector512.Store(high * scale, to + 16);
                }
                else
                {
                    Vector512.Store(Vector512.FusedMultiplyAdd(low, scale, offset), to);
                    if (k + 16 < blockEnd) Vector512.Store(Vector512.FusedMultiplyAdd(high, scale, offset), to + 16);
                }
            }
        }
    }

    /// <summary>Nibbles whose blocks are multiples of 16: the halves of a group have different scales.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void WidenHalfGroups(byte* codes, float* scales, float* offsets, Vector512<float> table, Vector128<byte> byteTable,
        int from, int count, float* to)
    {
        for (int k = from; k < from + count; k += 16, to += 16)
        {
            Vector128<byte> packed = Vector128.Load(codes + k / 32 * 16);
            packed = k % 32 == 0 ? packed & Vector128.Create((byte)15) : packed >>> 4;
            int block = k / _blockSize;
            Vector512<float> value = Lookup(table, byteTable, packed), scale = Vector512.Create(scales[block]);
            Vector512.Store(offsets is null ? value * scale
                : Vector512.FusedMultiplyAdd(value, scale, Vector512.Create(offsets[block])), to);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void WidenBytes(byte* codes, float* scales, float* offsets, int from, int count, float* to, bool isFloat8)
    {
        int end = from + count, block = from / _blockSize;
        for (int k = from; k < end; block++)
        {
            int blockEnd = (int)Math.Min(end, (block + 1L) * _blockSize);
            Vector512<float> scale = Vector512.Create(scales[block]);
            Vector512<float> offset = offsets is null ? default : Vector512.Create(offsets[block]);
            for (; k < blockEnd; k += 16, to += 16)
            {
                Vector512<float> value = isFloat8 ? Float8(codes + k) : Int8.Load(codes + k);
                Vector512.Store(offsets is null ? value * scale : Vector512.FusedMultiplyAdd(value, scale, offset), to);
            }
        }
    }

    /// <summary>
    /// Adds the dot products of four rows with one vector to four sums, without writing the dequantized rows. The order of a sum is that of
    /// <see cref="GemmNT"/>.
    /// </summary>
    /// <param name="from">The first input feature: a multiple of 32.</param>
    /// <param name="count">The number of input features.</param>
    /// <param name="x">[count]</param>
    /// <param name="y">[4]</param>
    /// <returns>False if this layout has no such kernel.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly bool TryMultiplyFourRows(long row, int from, int count, float* x, float* y)
    {
        if (!Avx512F.IsSupported || _code == BlockCode.Float8 || (_code == BlockCode.Nibble && _blockSize % 32 != 0)) return false;
        byte* codes = CodesOf(row);
        float* scales = _scales + row * _blocksPerRow, offsets = _offsets is null ? null : _offsets + row * _blocksPerRow;
        fixed (float* values = _values)
        {
            if (_code == BlockCode.Nibble) MultiplyNibbles(codes, scales, offsets, Vector512.Load(values), from, count, x, y);
            else MultiplyBytes(codes, scales, offsets, from, count, x, y);
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void MultiplyNibbles(byte* codes, float* scales, float* offsets, Vector512<float> table, int from, int count, float* x,
        float* y)
    {
        long stride = _codeBytesPerRow, blocks = _blocksPerRow;
        int end = from + count, block = from / _blockSize;
        Vector512<float> a = default, b = default, c = default, d = default, oa = default, ob = default, oc = default, od = default;
        for (int k = from; k < end; block++)
        {
            int blockEnd = (int)Math.Min(end, (block + 1L) * _blockSize);
            float* at = scales + block;
            Vector512<float> sa = Vector512.Create(at[0]), sb = Vector512.Create(at[blocks]), sc = Vector512.Create(at[2 * blocks]),
                sd = Vector512.Create(at[3 * blocks]);
            if (offsets is not null)
            {
                at = offsets + block;
                (oa, ob) = (Vector512.Create(at[0]), Vector512.Create(at[blocks]));
                (oc, od) = (Vector512.Create(at[2 * blocks]), Vector512.Create(at[3 * blocks]));
            }
            for (; k < blockEnd; k += 32, x += 32)
            {
                byte* packed = codes + k / 2;
                Vector512<float> low = Vector512.Load(x), high = Vector512.Load(x + 16);
                a = Add(packed, table, sa, oa, offsets is not null, low, high, a);
                b = Add(packed + stride, table, sb, ob, offsets is not null, low, high, b);
                c = Add(packed + 2 * stride, table, sc, oc, offsets is not null, low, high, c);
                d = Add(packed + 3 * stride, table, sd, od, offsets is not null, low, high, d);
            }
        }
        GemmNT.AddSums(y, a, b, c, d);
    }

    /// <summary>Adds the products of a group of 32 nibbles. A permutation reads only the lower four bits of an index.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Add(byte* packed, Vector512<float> table, Vector512<float> scale, Vector512<float> offset,
        bool hasOffsets, Vector512<float> low, Vector512<float> high, Vector512<float> sum)
    {
        Vector512<int> codes = Avx512F.ConvertToVector512Int32(Vector128.Load(packed));
        Vector512<float> first = Avx512F.PermuteVar16x32(table, codes), second = Avx512F.PermuteVar16x32(table, codes >>> 4);
        first = hasOffsets ? Vector512.FusedMultiplyAdd(first, scale, offset) : first * scale;
        second = hasOffsets ? Vector512.FusedMultiplyAdd(second, scale, offset) : second * scale;
        return Vector512.FusedMultiplyAdd(high, second, Vector512.FusedMultiplyAdd(low, first, sum));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void MultiplyBytes(byte* codes, float* scales, float* offsets, int from, int count, float* x, float* y)
    {
        long stride = _codeBytesPerRow, blocks = _blocksPerRow;
        int end = from + count, block = from / _blockSize;
        Vector512<float> a = default, b = default, c = default, d = default, oa = default, ob = default, oc = default, od = default;
        for (int k = from; k < end; block++)
        {
            int blockEnd = (int)Math.Min(end, (block + 1L) * _blockSize);
            float* at = scales + block;
            Vector512<float> sa = Vector512.Create(at[0]), sb = Vector512.Create(at[blocks]), sc = Vector512.Create(at[2 * blocks]),
                sd = Vector512.Create(at[3 * blocks]);
            if (offsets is not null)
            {
                at = offsets + block;
                (oa, ob) = (Vector512.Create(at[0]), Vector512.Create(at[blocks]));
                (oc, od) = (Vector512.Create(at[2 * blocks]), Vector512.Create(at[3 * blocks]));
            }
            for (; k < blockEnd; k += 16, x += 16)
            {
                byte* packed = codes + k;
                Vector512<float> input = Vector512.Load(x);
                a = Add(packed, sa, oa, offsets is not null, input, a);
                b = Add(packed + stride, sb, ob, offsets is not null, input, b);
                c = Add(packed + 2 * stride, sc, oc, offsets is not null, input, c);
                d = Add(packed + 3 * stride, sd, od, offsets is not null, input, d);
            }
        }
        GemmNT.AddSums(y, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Add(byte* packed, Vector512<float> scale, Vector512<float> offset, bool hasOffsets,
        Vector512<float> input, Vector512<float> sum)
    {
        Vector512<float> value = Int8.Load(packed);
        value = hasOffsets ? Vector512.FusedMultiplyAdd(value, scale, offset) : value * scale;
        return Vector512.FusedMultiplyAdd(input, value, sum);
    }

    /// <summary>The values of sixteen codes from 0 to 15.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Lookup(Vector512<float> table, Vector128<byte> byteTable, Vector128<byte> codes)
    {
        if (Avx512F.IsSupported) return Avx512F.PermuteVar16x32(table, Avx512F.ConvertToVector512Int32(codes));
        Vector128<sbyte> values = Ssse3.Shuffle(byteTable, codes).AsSByte();
        return Vector512.Create(Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(values)),
            Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(Vector128.Create(values.GetUpper(), default))));
    }

    /// <summary>Sixteen float8_e4m3fn. Exponent and mantissa are moved to their place in a float32, whose bias is 120 larger.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Float8(byte* address)
    {
        Vector512<int> bits = Widened(address), magnitude = bits & Vector512.Create(0x7F);
        Vector512<float> value = ((magnitude << 20) + Vector512.Create(120 << 23)).AsSingle();
        // without an exponent the value is mantissa / 512: what stands here is 2^-7 (1 + mantissa / 8)
        Vector512<float> subnormal = (value - Vector512.Create(1f / 128)) * Vector512.Create(2f);
        value = Vector512.ConditionalSelect(Vector512.LessThan(magnitude, Vector512.Create(8)).AsSingle(), subnormal, value);
        value = Vector512.ConditionalSelect(Vector512.Equals(magnitude, Vector512.Create(0x7F)).AsSingle(), Vector512.Create(float.NaN),
            value);
        return (value.AsInt32() | ((bits & Vector512.Create(0x80)) << 24)).AsSingle();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Widened(byte* address) => Avx512F.IsSupported
        ? Avx512F.ConvertToVector512Int32(Vector128.Load(address))
        : Vector512.Create(Avx2.ConvertToVector256Int32(Vector128.CreateScalarUnsafe(*(long*)address).AsByte()),
            Avx2.ConvertToVector256Int32(Vector128.CreateScalarUnsafe(*(long*)(address + 8)).AsByte()));
}
