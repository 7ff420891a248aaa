using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>A weight of a checkpoint under the name that Hugging Face gives it, in whatever form the files have it.</summary>
/// <param name="entry">The name, the element type of what <see cref="Read"/> returns, the shape, and the bytes in the files.</param>
internal abstract class CheckpointTensor(SafetensorsEntry entry)
{
    public SafetensorsEntry Entry { get; } = entry;

    /// <summary>Whether <see cref="Read"/> returns a view of a mapped file, which needs no memory.</summary>
    public virtual bool IsMapped => false;

    /// <summary>The tensor on the CPU, which the caller owns and which belongs to no dispose scope.</summary>
    public abstract Tensor Read();

    /// <summary>Releases the pages of a mapped file that hold the tensor.</summary>
    public abstract void ReleasePages();
}
