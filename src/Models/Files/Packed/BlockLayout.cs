namespace Ndif.Models.Files.Packed;

/// <summary>
/// The layout of a packed weight. Its rows are output features, and each row is divided into blocks of input features that share a scale
/// and an offset: element = value of its code · scale + offset, rounded once to float32.
/// </summary>
/// <param name="Rows">The output features; of a stack of matrices, those of all.</param>
/// <param name="InFeatures">The elements of a row.</param>
/// <param name="Code">The code of an element.</param>
/// <param name="BlockSize">The input features that share a scale. The last block of a row may be cut.</param>
/// <param name="HasOffsets">Without offsets an element is value · scale.</param>
/// <param name="Values">The sixteen values of <see cref="BlockCode.Nibble"/>; otherwise empty.</param>
internal sealed record BlockLayout(
    long Rows, int InFeatures, BlockCode Code, int BlockSize, bool HasOffsets, IReadOnlyList<sbyte> Values)
{
    /// <summary>The blocks of a row.</summary>
    public int BlocksPerRow => (InFeatures + BlockSize - 1) / BlockSize;

    /// <summary>The bytes of a row's codes. Nibbles are in groups of 32: sixteen low ones, then sixteen high ones.</summary>
    public int CodeBytesPerRow => Code == BlockCode.Nibble ? (InFeatures + 31) / 32 * 16 : InFeatures;

    /// <summary>The bytes in memory of the whole weight, with scales and offsets in float32.</summary>
    public long Bytes => Rows * (CodeBytesPerRow + (long)BlocksPerRow * sizeof(float) * (HasOffsets ? 2 : 1));

    /// <summary>Whether the CPU kernels can multiply the weight as it is: whole vectors of sixteen elements share a scale.</summary>
    public bool IsMultipliable => InFeatures % 16 == 0 && BlockSize % 16 == 0 && InFeatures <= 1 << 20 && Rows <= 1 << 24
        && (Code != BlockCode.Nibble || InFeatures % 32 == 0);

    /// <summary>The value of a code.</summary>
    public float ValueOf(sbyte code) => Code switch
    {
        BlockCode.Nibble => Values[code],
        BlockCode.Int8 => code,
        _ => Float8((byte)code),
    };

    /// <summary>The value of a float8_e4m3fn.</summary>
    public static float Float8(byte bits)
    {
        int exponent = (bits >> 3) & 15, mantissa = bits & 7;
        if ((bits & 0x7F) == 0x7F) return float.NaN;
        float magnitude = exponent == 0 ? mantissa * (1f / 512) : MathF.ScaleB(1 + mantissa / 8f, exponent - 7);
        return (bits & 0x80) == 0 ? magnitude : -magnitude;
    }
}
