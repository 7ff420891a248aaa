using Ndif.Protocol;

namespace Ndif;

/// <summary>What a serialized value contains, in the order of its lists and maps.</summary>
public static class DataTensors
{
    /// <summary>Every tensor of the value. Their content may be replaced while they are enumerated.</summary>
    /// <param name="data">Null has no tensors.</param>
    public static IEnumerable<Tensor> Tensors(this Data? data) => data?.ValueCase switch
    {
        Data.ValueOneofCase.Tensor => [data.Tensor],
        Data.ValueOneofCase.List => data.List.Items.SelectMany(Tensors),
        Data.ValueOneofCase.Map => data.Map.Entries.SelectMany(entry => entry.Value.Tensors()),
        _ => [],
    };

    /// <summary>The tensors whose bytes are in a blob.</summary>
    public static IEnumerable<Tensor> BlobTensors(this Data? data) => data.Tensors().Where(IsBlob);

    /// <summary>The number of elements of the lists, and of entries of the maps, of a value, also of those inside of others.</summary>
    public static long CountElements(this Data? data) => data?.ValueCase switch
    {
        Data.ValueOneofCase.List => data.List.Items.Sum(item => 1 + item.CountElements()),
        Data.ValueOneofCase.Map => data.Map.Entries.Sum(entry => 1 + entry.Value.CountElements()),
        _ => 0,
    };

    /// <summary>True for a tensor whose bytes are in a blob.</summary>
    public static bool IsBlob(this Tensor tensor) => tensor.ContentCase is Tensor.ContentOneofCase.Blob;
}
