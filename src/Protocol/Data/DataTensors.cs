using Ndif.Protocol;

namespace Ndif;

/// <summary>The tensors of a serialized value, in the order of its lists and maps.</summary>
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

    /// <summary>True for a tensor whose bytes are in a blob.</summary>
    public static bool IsBlob(this Tensor tensor) => tensor.ContentCase is Tensor.ContentOneofCase.Blob;
}
