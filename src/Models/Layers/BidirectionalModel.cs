using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A model whose tokens see those before and after them: an encoder, with or without a head. It has no cache.</summary>
/// <remarks>BertPreTrainedModel in transformers/models/bert/modeling_bert.py and its relatives</remarks>
public abstract class BidirectionalModel : PreTrainedModel
{
    public sealed override bool PadsRight => true;

    /// <summary>The encoder: this model, or the one inside of it.</summary>
    internal abstract EncoderDescription Description { get; }

    public sealed override PreTrainedConfig Config =>
        new(Description.VocabSize, Description.ContextLength, Description.NumLayers);

    public sealed override int TokenTypeCount => Description.TypeVocabSize;

    public sealed override bool HasPositionTable => Description.HasPositionTable;

    /// <summary>Whether Hugging Face's code passes the token ids by position.</summary>
    private protected virtual bool PassesIdsByPosition => false;

    public sealed override ModelOutput Call(ModelInputs inputs) =>
        Call(inputs.InputIds, inputs.AttentionMask, inputs.PositionIds, inputs.TokenTypeIds);

    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="attentionMask">[batch, seq] int64: 1 for a token, 0 for padding</param>
    /// <param name="positionIds">[batch, seq] int64: the position of a token in its row, padding not counted</param>
    /// <param name="tokenTypeIds">[batch, seq] int64: the text of a pair that a token belongs to; null for 0 everywhere</param>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments(PassesIdsByPosition ? [inputIds] : [],
        [
            .. PassesIdsByPosition ? [] : (KeyValuePair<string, object?>[])[new("input_ids", inputIds)],
            new("attention_mask", attentionMask),
            .. tokenTypeIds is null ? [] : (KeyValuePair<string, object?>[])[new("token_type_ids", tokenTypeIds)],
            new("position_ids", positionIds),
        ]))
        : Forward(inputIds, attentionMask, positionIds, tokenTypeIds);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(3, "position_ids"),
        arguments.Get(2, "token_type_ids") as Tensor);

    protected abstract ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, Tensor? tokenTypeIds);

    /// <summary>
    /// Positions that checkpoints of older versions carry, and heads: those of the pretraining, which a model with another head lacks.
    /// </summary>
    public sealed override bool ShouldIgnore(string tensorName)
    {
        string name = Description.WithoutPrefix(tensorName);
        return base.ShouldIgnore(tensorName) || name.EndsWith("embeddings.position_ids", StringComparison.Ordinal)
            || Description.Heads.Any(head => name.StartsWith(head + ".", StringComparison.Ordinal));
    }

    /// <summary>In the first checkpoints, norms have the names that their parameters have in TensorFlow.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.EndsWith(".gamma", StringComparison.Ordinal) ? tensorName[..^"gamma".Length] + "weight"
        : tensorName.EndsWith(".beta", StringComparison.Ordinal) ? tensorName[..^"beta".Length] + "bias"
        : tensorName;
}
