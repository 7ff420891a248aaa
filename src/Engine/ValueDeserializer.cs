using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine;

/// <summary>Converts <see cref="Data"/> of the protocol to values of the engine: the reverse of <see cref="ValueSerializer"/>.</summary>
internal static class ValueDeserializer
{
    /// <summary>Creates new tensors on the device, outside of any dispose scope.</summary>
    /// <exception cref="NdifException">CORRUPT_DATA and similar codes: bytes that do not fit their shape.</exception>
    public static object? Deserialize(Data data, torch.Device device) => data.ValueCase switch
    {
        Data.ValueOneofCase.Tensor => TensorData.FromProto(data.Tensor).ToTorch(device).DetachFromDisposeScope(),
        Data.ValueOneofCase.Integer => data.Integer,
        Data.ValueOneofCase.Real => data.Real,
        Data.ValueOneofCase.Boolean => data.Boolean,
        Data.ValueOneofCase.Text => data.Text,
        Data.ValueOneofCase.List when data.List.Tuple => data.List.Items.Select(item => Deserialize(item, device)).ToArray(),
        Data.ValueOneofCase.List => data.List.Items.Select(item => Deserialize(item, device)).ToList(),
        Data.ValueOneofCase.Map => DeserializeMap(data.Map, device),
        _ => null,
    };

    private static Dictionary<string, object?> DeserializeMap(DataMap map, torch.Device device)
    {
        var entries = new Dictionary<string, object?>(map.Entries.Count);
        foreach (DataEntry entry in map.Entries)
            if (!entries.TryAdd(entry.Key, entry.Value is { } value ? Deserialize(value, device) : null))
                throw Errors.CreateException(ErrorCode.CorruptData, $"A map arrived with the key `{ErrorText.Truncate(entry.Key)}` twice.");
        return entries;
    }
}
