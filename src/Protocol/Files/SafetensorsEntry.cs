namespace Ndif.Protocol.Files;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Offset">The position of the first byte in the data of the file.</param>
/// <param name="Length">The number of bytes.</param>
internal sealed record SafetensorsEntry(string Name, SafetensorsDType DType, long[] Shape, long Offset, long Length);
