using Ndif.Protocol;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A model without a head: from token ids to hidden states. It is a part of a model with a head, or the root of a tree.</summary>
public abstract class BaseModel : PreTrainedModel
{
    private DecoderForCausalLM? _origin;

    private protected override PreTrainedModel? Origin => _origin;

    /// <summary>[vocab, hidden]</summary>
    internal abstract Parameter Embeddings { get; }

    public override StandardNames Names => WithHead.NamesOfBaseModel;

    public override PreTrainedConfig Config => WithHead.Config;

    public override string BaseModelPrefix => "";

    public override ModelTask Task => ModelTask.FeatureExtraction;

    private DecoderForCausalLM WithHead => _origin ?? throw new InvalidOperationException("The base model is not the root of a tree.");

    /// <summary>Makes this base model the root of a tree of its own.</summary>
    /// <param name="origin">The model that has it as a child, which is not used any more.</param>
    internal BaseModel ToRoot(DecoderForCausalLM origin)
    {
        _origin = origin;
        RemoveFromParent();
        return this;
    }

    public sealed override ModelOutput Call(ModelInputs inputs) =>
        Call(inputs.InputIds, inputs.AttentionMask, inputs.PositionIds, inputs.Cache);

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden] and <c>past_key_values</c>, the cache.</returns>
    public abstract ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache);
}
