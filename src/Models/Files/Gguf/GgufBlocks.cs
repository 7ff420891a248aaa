using System.Buffers.Binary;

namespace Ndif.Models.Files.Gguf;

/// <summary>
/// The blocks of ggml's quantized types: scales and minima are float16, or small integers times a float16 of the block. Each method
/// splits the blocks of a row into codes, scales and offsets; the products are exact in float32.
/// </summary>
/// <remarks>block_q4_0 and the others in ggml/src/ggml-common.h; dequantize_blocks in gguf-py/gguf/quants.py of llama.cpp</remarks>
internal static class GgufBlocks
{
    private const int SuperBlock = 256;

    /// <summary>d, sixteen bytes with the codes of the first half in the low nibbles. Also IQ4_NL, whose codes have other values.</summary>
    public static void Q4_0(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(18 * block, 18);
            scales[block] = Half(from);
            Nibbles(from[2..], codes.Slice(32 * block, 32));
        }
    }

    /// <summary>d, minimum, codes</summary>
    public static void Q4_1(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(20 * block, 20);
            (scales[block], offsets[block]) = (Half(from), Half(from[2..]));
            Nibbles(from[4..], codes.Slice(32 * block, 32));
        }
    }

    /// <summary>d, the fifth bits, the other four</summary>
    public static void Q5_0(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(22 * block, 22);
            scales[block] = Half(from);
            FiveBits(from[2..], codes.Slice(32 * block, 32), 16);
        }
    }

    /// <summary>d, minimum, the fifth bits, the other four</summary>
    public static void Q5_1(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(24 * block, 24);
            (scales[block], offsets[block]) = (Half(from), Half(from[2..]));
            FiveBits(from[4..], codes.Slice(32 * block, 32), 0);
        }
    }

    /// <summary>d, integers</summary>
    public static void Q8_0(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(34 * block, 34);
            scales[block] = Half(from);
            for (int i = 0; i < 32; i++) codes[32 * block + i] = (sbyte)from[2 + i];
        }
    }

    /// <summary>sixteen bytes of a scale and a minimum of four bits each, codes of two bits, d, d of the minima</summary>
    public static void Q2_K(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(84 * block, 84), bits = from.Slice(16, 64);
            float d = Half(from[80..]), minimum = Half(from[82..]);
            for (int i = 0; i < 16; i++)
                (scales[16 * block + i], offsets[16 * block + i]) = (d * (from[i] & 15), -(minimum * (from[i] >> 4)));
            for (int i = 0; i < SuperBlock; i++) codes[SuperBlock * block + i] = (sbyte)TwoBits(bits, i);
        }
    }

    /// <summary>the third bits, the other two, sixteen scales of six bits, d</summary>
    public static void Q3_K(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(110 * block, 110), bits = from.Slice(32, 64), packed = from.Slice(96, 12);
            float d = Half(from[108..]);
            for (int i = 0; i < 16; i++)
            {
                int low = (packed[i % 8] >> (4 * (i / 8))) & 15, high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
                scales[16 * block + i] = d * ((low | (high << 4)) - 32);
            }
            for (int i = 0; i < SuperBlock; i++) // the value is the index less four
                codes[SuperBlock * block + i] = (sbyte)(TwoBits(bits, i) | (((from[i % 32] >> (i / 32)) & 1) << 2));
        }
    }

    /// <summary>d, d of the minima, eight scales and minima of six bits, codes</summary>
    public static void Q4_K(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(144 * block, 144), bits = from.Slice(16, 128);
            SixBitScales(from, scales.Slice(8 * block, 8), offsets.Slice(8 * block, 8));
            for (int i = 0; i < SuperBlock; i++) codes[SuperBlock * block + i] = (sbyte)Nibble(bits, i);
        }
    }

    /// <summary>d, d of the minima, eight scales and minima of six bits, the fifth bits, the other four</summary>
    public static void Q5_K(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(176 * block, 176), fifth = from.Slice(16, 32), bits = from.Slice(48, 128);
            SixBitScales(from, scales.Slice(8 * block, 8), offsets.Slice(8 * block, 8));
            for (int i = 0; i < SuperBlock; i++)
                codes[SuperBlock * block + i] = (sbyte)(Nibble(bits, i) | (((fifth[i % 32] >> (i / 32)) & 1) << 4));
        }
    }

    /// <summary>the lower four bits, the upper two, sixteen scales, d</summary>
    public static void Q6_K(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(210 * block, 210), low = from[..128], high = from.Slice(128, 64);
            float d = Half(from[208..]);
            for (int i = 0; i < 16; i++) scales[16 * block + i] = d * (sbyte)from[192 + i];
            for (int i = 0; i < SuperBlock; i++)
            {
                int half = i / 128, within = i % 128; // a half has 64 bytes: the low nibbles of all, then the high ones
                int bits = (low[64 * half + within % 64] >> (4 * (within / 64))) & 15;
                codes[SuperBlock * block + i] = (sbyte)((bits | (TwoBits(high, i) << 4)) - 32);
            }
        }
    }

    /// <summary>d, the upper two bits of eight scales, the lower four, codes</summary>
    public static void IQ4_XS(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < codes.Length / SuperBlock; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(136 * block, 136);
            float d = Half(from);
            int high = BinaryPrimitives.ReadUInt16LittleEndian(from[2..]);
            for (int i = 0; i < 8; i++)
            {
                int scale = ((from[4 + i / 2] >> (4 * (i % 2))) & 15) | (((high >> (2 * i)) & 3) << 4);
                scales[8 * block + i] = d * (scale - 32);
                Nibbles(from.Slice(8 + 16 * i, 16), codes.Slice(SuperBlock * block + 32 * i, 32));
            }
        }
    }

    /// <summary>an exponent with bias 127, codes whose values are doubled</summary>
    public static void MXFP4(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int block = 0; block < scales.Length; block++)
        {
            ReadOnlySpan<byte> from = row.Slice(17 * block, 17);
            scales[block] = (float)Math.ScaleB(1, from[0] - 128);
            Nibbles(from[1..], codes.Slice(32 * block, 32));
        }
    }

    private static float Half(ReadOnlySpan<byte> from) => (float)BinaryPrimitives.ReadHalfLittleEndian(from);

    /// <summary>Sixteen bytes: the first sixteen codes are the low nibbles.</summary>
    private static void Nibbles(ReadOnlySpan<byte> from, Span<sbyte> codes)
    {
        for (int i = 0; i < 16; i++) (codes[i], codes[16 + i]) = ((sbyte)(from[i] & 15), (sbyte)(from[i] >> 4));
    }

    private static void FiveBits(ReadOnlySpan<byte> from, Span<sbyte> codes, int center)
    {
        uint fifth = BinaryPrimitives.ReadUInt32LittleEndian(from);
        Nibbles(from[4..], codes);
        for (int i = 0; i < 32; i++) codes[i] = (sbyte)(codes[i] + 16 * (int)((fifth >> i) & 1) - center);
    }

    /// <summary>The code of element <paramref name="i"/> of a super-block: 32 bytes hold four times 32 codes of two bits.</summary>
    private static int TwoBits(ReadOnlySpan<byte> bits, int i) => (bits[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4))) & 3;

    /// <summary>32 bytes hold twice 32 codes of four bits.</summary>
    private static int Nibble(ReadOnlySpan<byte> bits, int i) => (bits[i / 64 * 32 + i % 32] >> (4 * (i / 32 % 2))) & 15;

    /// <summary>
    /// Eight scales and minima of six bits in twelve bytes: the first four of each are the low bits of bytes 0 to 7, whose two high bits
    /// are those of the other four; these have their low bits in bytes 8 to 11.
    /// </summary>
    private static void SixBitScales(ReadOnlySpan<byte> block, Span<float> scales, Span<float> offsets)
    {
        float d = Half(block), minimum = Half(block[2..]);
        ReadOnlySpan<byte> packed = block.Slice(4, 12);
        for (int i = 0; i < 4; i++)
        {
            (scales[i], offsets[i]) = (d * (packed[i] & 63), -(minimum * (packed[4 + i] & 63)));
            scales[4 + i] = d * ((packed[8 + i] & 15) | ((packed[i] >> 6) << 4));
            offsets[4 + i] = -(minimum * ((packed[8 + i] >> 4) | ((packed[4 + i] >> 6) << 4)));
        }
    }
}
