using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A language model without its head: from token ids to hidden states.</summary>
public abstract class BaseModel : SiteModule
{
    /// <summary>[vocab, hidden]</summary>
    internal abstract Parameter Embeddings { get; }

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden] and <c>past_key_values</c>, the cache.</returns>
    public abstract ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache);
}
