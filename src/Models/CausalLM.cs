using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;

/// <summary>A model that gives the logits of the next token.</summary>
public abstract class CausalLM : PreTrainedModel
{
    public override Protocol.ModelTask Task => Protocol.ModelTask.CausalLm;

    /// <summary>The keyword of the first argument: input_ids; inputs_embeds for the language model inside a multimodal one.</summary>
    protected virtual string InputName => "input_ids";

    public sealed override ModelOutput Call(ModelInputs inputs) =>
        Call(inputs.InputIds, inputs.AttentionMask, inputs.PositionIds, inputs.Cache, inputs.LogitsToKeep);

    /// <summary>One forward pass.</summary>
    /// <param name="inputIds">[batch, seq] int64</param>
    /// <param name="attentionMask">[batch, cached + seq] int64: 1 for a token, 0 for padding</param>
    /// <param name="positionIds">[batch, seq] int64: the position of a token in its row, padding not counted</param>
    /// <param name="cache">The keys and values of the earlier tokens, to which these are appended; null to run without a cache.</param>
    /// <param name="logitsToKeep">The number of last tokens whose logits are computed; 0 for all.</param>
    /// <returns><c>logits</c> [batch, seq kept, vocab] and <c>past_key_values</c>, the cache.</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep = 0) =>
        Hook is { } observer
            ? CallHooked<ModelOutput>(observer, new Arguments([],
            [
                new(InputName, inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
                new("past_key_values", cache), new("use_cache", cache is not null), new("logits_to_keep", (long)logitsToKeep),
            ]))
            : Forward(inputIds, attentionMask, positionIds, cache, logitsToKeep);

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, InputName),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Get(5, "logits_to_keep") is long keep ? (int)keep : 0);

    protected abstract ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep);
}
