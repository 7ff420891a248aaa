namespace Ndif.Protocol.Files;

/// <summary>An element type of the safetensors format.</summary>
/// <param name="Name">The name in a header: "F32".</param>
/// <param name="Size">The bytes of an element.</param>
/// <param name="Type">Null if a tensor cannot have the type.</param>
/// <remarks>https://github.com/huggingface/safetensors, <c>Dtype</c> in safetensors/src/tensor.rs.</remarks>
internal sealed record SafetensorsDType(string Name, int Size, DType? Type)
{
    public static readonly IReadOnlyList<SafetensorsDType> All =
    [
        new("F32", 4, DType.Float32),
        new("BF16", 2, DType.BFloat16),
        new("F16", 2, DType.Float16),
        new("F64", 8, DType.Float64),
        new("I64", 8, DType.Int64),
        new("I32", 4, DType.Int32),
        new("I16", 2, DType.Int16),
        new("I8", 1, DType.Int8),
        new("U8", 1, DType.UInt8),
        new("BOOL", 1, DType.Bool),
        new("C64", 8, DType.Complex64),
        new("U64", 8, null),
        new("U32", 4, null),
        new("U16", 2, null),
        new("F8_E5M2", 1, null),
        new("F8_E4M3", 1, null),
        new("F8_E8M0", 1, null),
    ];

    /// <summary>Finds the type with a name in a header, or returns null.</summary>
    public static SafetensorsDType? FindByName(string name)
    {
        foreach (SafetensorsDType dtype in All)
            if (dtype.Name == name) return dtype;
        return null;
    }

    /// <exception cref="NdifException">UNSUPPORTED: the format has no such type.</exception>
    public static SafetensorsDType Of(DType type)
    {
        foreach (SafetensorsDType dtype in All)
            if (dtype.Type == type) return dtype;
        throw Errors.CreateException(ErrorCode.Unsupported, $"A safetensors file has no element type for {type.TorchName()}.");
    }
}
