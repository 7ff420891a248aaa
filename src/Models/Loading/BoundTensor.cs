namespace Ndif.Models.Loading;

/// <summary>A tensor of a checkpoint and its place in a tree.</summary>
/// <param name="Path">The path in the tree: "transformer.wte.weight".</param>
/// <param name="Name">The name in the checkpoint: "wte.weight".</param>
internal readonly record struct BoundTensor(string Path, string Name);
