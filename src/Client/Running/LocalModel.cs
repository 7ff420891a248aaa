namespace Ndif.Running;

/// <summary>A model that runs in this process, with the options for loading it.</summary>
/// <param name="Id">A Hugging Face id or a folder.</param>
/// <param name="Revision">A branch, tag or commit; empty for the default branch.</param>
/// <param name="Dtype">The element type of its weights; null for that of the checkpoint.</param>
/// <param name="Adapter">A LoRA adapter that is merged into the weights: a folder or an id; null for none.</param>
/// <param name="EightBit">Linear layers store their weights in eight bits.</param>
/// <param name="Device">The device of the weights: "cpu", "cuda", "cuda:0,cuda:1" for several that share the layers.</param>
public sealed record LocalModel(
    string Id, string Revision = "", DType? Dtype = null, string? Adapter = null, bool EightBit = false, string Device = "cpu")
{
    /// <summary>True if all options have their defaults.</summary>
    public bool HasDefaultLoadOptions => this == new LocalModel(Id, Revision);
}
