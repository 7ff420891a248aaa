using Ndif.Models.ForwardSource;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A layer of a decoder as its model calls it; a derived class has the forward.</summary>
[SharedLayer]
public abstract class DecoderBlock : SiteModule
{
    private readonly DecoderDescription _description;

    private protected DecoderBlock(DecoderDescription description)
    {
        _description = description;
        ClassName = $"{description.Family}DecoderLayer";
        PositionEmbeddingsAt = description.PositionEmbeddingsAt;
    }

    public override string ClassName { get; }

    protected int PositionEmbeddingsAt { get; }

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
                [.. _description.CreateArguments(mask, positionIds, cache, positionEmbeddings)]))
            : Forward(hidden, mask, positionIds, cache, positionEmbeddings);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Tuple(PositionEmbeddingsAt, "position_embeddings"));

    protected abstract object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings);
}
