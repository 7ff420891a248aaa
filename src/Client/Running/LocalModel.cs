namespace Ndif.Running;

/// <summary>A model that runs in this process, and how it is loaded.</summary>
/// <param name="Id">A Hugging Face id or a folder.</param>
/// <param name="Revision">A branch, tag or commit; the default one if empty.</param>
/// <param name="Dtype">The element type of its weights; null is the checkpoint's own.</param>
/// <param name="Adapter">A LoRA adapter that is merged into the weights: a folder or an id; null is none.</param>
/// <param name="EightBit">Linear layers keep their weights in eight bits.</param>
/// <param name="Device">Where the weights are: "cpu", "cuda", "cuda:0,cuda:1" for several that share the layers.</param>
public sealed record LocalModel(string Id, string Revision = "", DType? Dtype = null, string? Adapter = null, bool EightBit = false, string Device = "cpu")
{
    /// <summary>True if nothing is asked of how it is loaded.</summary>
    public bool HasDefaultLoadOptions => this == new LocalModel(Id, Revision);
}
