using Ndif.Protocol;
using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>An element type and its names in a safetensors header, in TorchSharp and in the protocol.</summary>
/// <param name="Name">The name in a safetensors header: "F32".</param>
/// <param name="Size">The bytes of an element.</param>
/// <param name="Torch">Null if libtorch or TorchSharp does not have the type.</param>
/// <param name="Wire">The type in the protocol.</param>
internal sealed record SafetensorsDType(string Name, int Size, ScalarType? Torch, DataType Wire);
