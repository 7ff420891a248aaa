namespace Ndif;

/// <summary>A site of a collection.</summary>
/// <param name="Name">Its address: "transformer.h.1.hidden".</param>
/// <param name="Dtype">The element type of the stored values.</param>
/// <param name="Shape">The sizes of the dimensions of the value of one token.</param>
public sealed record ActivationSite(string Name, DType Dtype, IReadOnlyList<long> Shape)
{
    /// <summary>The size in bytes of the value of one token.</summary>
    internal long RowBytes => Shape.Aggregate((long)Dtype.ItemSize(), (bytes, size) => bytes * size);
}
