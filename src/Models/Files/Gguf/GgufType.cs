using Ndif.Models.Files.Packed;

namespace Ndif.Models.Files.Gguf;

/// <summary>Unpacks a row of blocks.</summary>
/// <param name="row">The bytes of the row.</param>
/// <param name="codes">[inFeatures]: receives the codes.</param>
/// <param name="scales">[inFeatures / granularity]: receives the scales.</param>
/// <param name="offsets">The same of offsets; empty for a type without them.</param>
internal delegate void BlockUnpacker(ReadOnlySpan<byte> row, Span<sbyte> codes, Span<float> scales, Span<float> offsets);

/// <summary>An element type of GGUF.</summary>
/// <param name="Name">The name in ggml: "Q4_K".</param>
/// <param name="BlockElements">The elements of a block; 1 for a type without blocks.</param>
/// <param name="BlockBytes">The bytes of a block.</param>
/// <param name="Plain">The name in a safetensors header of a type without blocks; null for any other.</param>
/// <param name="Granularity">The elements that share a scale.</param>
/// <param name="Code">How an element is kept in memory.</param>
/// <param name="HasOffsets">Whether an element is value · scale + offset.</param>
/// <param name="Unpack">Null for a plain type.</param>
/// <param name="Values">The values of the nibbles.</param>
internal sealed record GgufType(string Name, int BlockElements, int BlockBytes, string? Plain = null, int Granularity = 0,
    BlockCode Code = BlockCode.Nibble, bool HasOffsets = false, BlockUnpacker? Unpack = null, sbyte[]? Values = null)
{
    private static readonly sbyte[] _signed = [.. Enumerable.Range(-8, 16).Select(value => (sbyte)value)];
    private static readonly sbyte[] _unsigned = [.. Enumerable.Range(0, 16).Select(value => (sbyte)value)];
    private static readonly sbyte[] _threeBits = [-4, -3, -2, -1, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0];
    private static readonly sbyte[] _iq4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    private static readonly sbyte[] _fp4 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]; // twice float4_e2m1

    private static readonly Dictionary<uint, GgufType> _byId = new()
    {
        [0] = new("F32", 1, 4, "F32"),
        [1] = new("F16", 1, 2, "F16"),
        [2] = new("Q4_0", 32, 18, null, 32, BlockCode.Nibble, false, GgufBlocks.Q4_0, _signed),
        [3] = new("Q4_1", 32, 20, null, 32, BlockCode.Nibble, true, GgufBlocks.Q4_1, _unsigned),
        [6] = new("Q5_0", 32, 22, null, 32, BlockCode.Int8, false, GgufBlocks.Q5_0),
        [7] = new("Q5_1", 32, 24, null, 32, BlockCode.Int8, true, GgufBlocks.Q5_1),
        [8] = new("Q8_0", 32, 34, null, 32, BlockCode.Int8, false, GgufBlocks.Q8_0),
        [10] = new("Q2_K", 256, 84, null, 16, BlockCode.Nibble, true, GgufBlocks.Q2_K, _unsigned),
        [11] = new("Q3_K", 256, 110, null, 16, BlockCode.Nibble, false, GgufBlocks.Q3_K, _threeBits),
        [12] = new("Q4_K", 256, 144, null, 32, BlockCode.Nibble, true, GgufBlocks.Q4_K, _unsigned),
        [13] = new("Q5_K", 256, 176, null, 32, BlockCode.Int8, true, GgufBlocks.Q5_K),
        [14] = new("Q6_K", 256, 210, null, 16, BlockCode.Int8, false, GgufBlocks.Q6_K),
        [20] = new("IQ4_NL", 32, 18, null, 32, BlockCode.Nibble, false, GgufBlocks.Q4_0, _iq4),
        [23] = new("IQ4_XS", 256, 136, null, 32, BlockCode.Nibble, false, GgufBlocks.IQ4_XS, _iq4),
        [24] = new("I8", 1, 1, "I8"),
        [25] = new("I16", 1, 2, "I16"),
        [26] = new("I32", 1, 4, "I32"),
        [27] = new("I64", 1, 8, "I64"),
        [28] = new("F64", 1, 8, "F64"),
        [30] = new("BF16", 1, 2, "BF16"),
        [39] = new("MXFP4", 32, 17, null, 32, BlockCode.Nibble, false, GgufBlocks.MXFP4, _fp4),
    };

    // known to ggml and not read here
    private static readonly Dictionary<uint, string> _otherNames = new()
    {
        [4] = "Q4_2", [5] = "Q4_3", [9] = "Q8_1", [15] = "Q8_K", [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [21] = "IQ3_S", [22] = "IQ2_S", [29] = "IQ1_M", [34] = "TQ1_0", [35] = "TQ2_0", [40] = "NVFP4",
    };

    /// <summary>Finds a type by its number (enum ggml_type in ggml/include/ggml.h), or returns null.</summary>
    public static GgufType? Find(uint id) => _byId.GetValueOrDefault(id);

    /// <summary>The name of a type for error messages.</summary>
    public static string NameOf(uint id) => Find(id)?.Name ?? _otherNames.GetValueOrDefault(id) ?? $"number {id}";

    /// <summary>The names of the types that can be read.</summary>
    public static IEnumerable<string> Names => _byId.Values.Select(type => type.Name);
}
