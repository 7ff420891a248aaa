namespace Ndif.Models.Files.Packed;

/// <summary>How an element of a packed weight is coded.</summary>
internal enum BlockCode
{
    /// <summary>Four bits, the index of one of sixteen integers.</summary>
    Nibble,

    /// <summary>An integer from -128 to 127.</summary>
    Int8,

    /// <summary>A float8_e4m3fn: a sign, four bits of exponent with bias 7, three bits of mantissa; no infinities.</summary>
    /// <remarks>Micikevicius et al., FP8 Formats for Deep Learning, 2022, section 3</remarks>
    Float8,
}
