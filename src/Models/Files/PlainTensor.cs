using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>A tensor that a file has as it is.</summary>
internal sealed class PlainTensor(IWeightFile file, SafetensorsEntry entry) : CheckpointTensor(entry)
{
    public override bool IsMapped => true;

    public override Tensor Read() => file.Read(Entry.Name);

    public override void ReleasePages() => file.ReleasePages(Entry.Name);
}
