namespace Ndif.Models.Files.Pickle;

/// <summary>A class or function that a pickle names. It is never looked up or called.</summary>
internal sealed record PickleGlobal(string Module, string Name)
{
    public override string ToString() => $"{Module}.{Name}";
}

/// <summary>The elements of tensors: torch.storage.</summary>
/// <param name="Key">The name of the record with the bytes: "data/0" of a zip file has the key "0".</param>
/// <param name="DType">The element type.</param>
/// <param name="Count">The number of elements.</param>
internal sealed record PickleStorage(string Key, SafetensorsDType DType, long Count);

/// <summary>A tensor over a storage.</summary>
/// <param name="Offset">The first element in the storage.</param>
/// <param name="Strides">In elements.</param>
internal sealed record PickleTensor(PickleStorage Storage, long Offset, long[] Shape, long[] Strides);
