using Ndif.Models.ForwardSource;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A layer of a decoder as its model calls it; a derived class has the forward.</summary>
[SharedLayer]
public abstract class DecoderBlock : SiteModule
{
    private readonly DecoderDescription _description;
    private protected readonly bool _passesPositionIds;

    private protected DecoderBlock(DecoderDescription description, string? className = null)
    {
        (_description, _passesPositionIds) = (description, description.PassesPositionIds);
        ClassName = className ?? $"{description.Family}DecoderLayer";
        (PositionEmbeddingsAt, HasRotaryEmbedding) = (description.PositionEmbeddingsAt, description.HasRotaryEmbedding);
    }

    public override string ClassName { get; }

    protected int PositionEmbeddingsAt { get; }

    /// <summary>Whether the layer receives position embeddings.</summary>
    protected bool HasRotaryEmbedding { get; }

    /// <param name="mask">
    /// [batch, 1, seq, kvSeq], added to the scores; [batch, seq] for a layer with a state, or null if no token is padding.
    /// </param>
    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor? mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
                [.. _description.CreateArguments(mask, positionIds, cache, positionEmbeddings)]))
            : Forward(hidden, mask!, positionIds, cache, positionEmbeddings);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        KeepsState ? (arguments.Get(1, "attention_mask") as Tensor)! : arguments.Tensor(1, "attention_mask"),
        _passesPositionIds ? arguments.Tensor(2, "position_ids") : null!, // a layer that receives none reads none
        arguments.Get(3, "past_key_values") as KeyValueCache,
        HasRotaryEmbedding ? arguments.Tuple(PositionEmbeddingsAt, "position_embeddings") : []);

    /// <summary>Whether the layer has a state instead of keys and values, so that its mask is null where no token is padding.</summary>
    protected virtual bool KeepsState => false;

    protected abstract object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings);
}
