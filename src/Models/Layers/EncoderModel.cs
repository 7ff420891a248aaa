using Ndif.Protocol;

namespace Ndif.Models.Layers;

/// <summary>
/// An encoder without a head: from token ids to hidden states. It is a part of a model with a head, or the root of a tree.
/// </summary>
public abstract class EncoderModel : BidirectionalModel
{
    private protected EncoderModel(EncoderDescription description) => Description = description;

    internal sealed override EncoderDescription Description { get; }

    public override string ClassName => $"{Description.Family}Model";

    /// <summary>[vocab, embeddingSize]</summary>
    internal abstract Parameter Embeddings { get; }

    public sealed override StandardNames Names => Description.Names.Clone();

    public sealed override string BaseModelPrefix => "";

    public sealed override ModelTask Task => ModelTask.FeatureExtraction;

    public sealed override string ToTreeName(string tensorName) => base.ToTreeName(Description.WithoutPrefix(tensorName));
}
