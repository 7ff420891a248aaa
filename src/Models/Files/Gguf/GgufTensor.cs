namespace Ndif.Models.Files.Gguf;

/// <summary>A tensor of a GGUF file.</summary>
/// <param name="Shape">In PyTorch's order: the innermost dimension, of the input features, is the last.</param>
/// <param name="Offset">The first byte in the file.</param>
/// <param name="Length">The number of bytes.</param>
internal sealed record GgufTensor(string Name, GgufType Type, long[] Shape, long Offset, long Length);
