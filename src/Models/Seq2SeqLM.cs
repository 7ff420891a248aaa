using Ndif.Models.Config;
using Ndif.Protocol;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models;

/// <summary>
/// An encoder, which reads a text at once, and a decoder, which attends to the encoder's output and gives the logits of the next token.
/// </summary>
/// <remarks>
/// The first pass runs both and keeps the encoder's output in the cache. A later one is given it (<see cref="ModelInputs.EncoderOutput"/>)
/// and runs the decoder alone.
/// </remarks>
public abstract class Seq2SeqLM : PreTrainedModel
{
    public sealed override ModelTask Task => ModelTask.Seq2SeqLm;

    public sealed override bool PadsRight => true;

    public sealed override bool HasStatesBesideKeys => true;

    /// <summary>The first token of the decoder.</summary>
    public abstract int DecoderStartTokenId { get; }

    private protected static int ReadStartToken(ConfigReader json, int defaultValue, int vocabSize)
    {
        int id = json.Count("decoder_start_token_id", defaultValue);
        return id < vocabSize ? id
            : throw json.InvalidValue("decoder_start_token_id", $"must be less than vocab_size, {vocabSize}", $"{id}");
    }

    public override Axes OutputAxes(int element) => element == 2 ? Axes.EncoderHidden : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "input_ids" or "attention_mask" or "encoder_outputs" => Axes.EncoderHidden,
        "decoder_attention_mask" => new Axes(0, Axes.None, 1),
        _ => Axes.Hidden,
    };

    public sealed override ModelOutput Call(ModelInputs inputs)
    {
        if (inputs is not { DecoderInputIds: { } decoderInputIds, DecoderAttentionMask: { } decoderAttentionMask })
            throw new ArgumentException("An encoder-decoder needs the tokens of the decoder and their mask.", nameof(inputs));
        Tensor? inputIds = inputs.EncoderOutput is null ? inputs.InputIds : null; // [batch, encoderSeq]
        return Hook is { } observer
            ? CallHooked<ModelOutput>(observer, new Arguments([],
            [
                new("input_ids", inputIds), new("attention_mask", inputs.AttentionMask), new("decoder_input_ids", decoderInputIds),
                new("decoder_attention_mask", decoderAttentionMask), new("encoder_outputs", inputs.EncoderOutput),
                new("past_key_values", inputs.Cache), new("use_cache", inputs.Cache is not null),
                new("logits_to_keep", (long)inputs.LogitsToKeep),
            ]))
            : Forward(inputIds, inputs.AttentionMask, decoderInputIds, decoderAttentionMask, inputs.EncoderOutput, inputs.Cache,
                inputs.LogitsToKeep);
    }

    public sealed override object? Run(Arguments arguments) => Forward(
        arguments.Get(0, "input_ids") as Tensor,
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "decoder_input_ids"),
        arguments.Tensor(3, "decoder_attention_mask"),
        arguments.Get(4, "encoder_outputs") as Tensor,
        arguments.Get(5, "past_key_values") as KeyValueCache,
        arguments.Get(7, "logits_to_keep") is long keep ? (int)keep : 0);

    /// <param name="inputIds">[batch, encoderSeq]; null if the encoder's output is given.</param>
    /// <param name="attentionMask">[batch, encoderSeq]</param>
    /// <param name="decoderInputIds">[batch, seq]</param>
    /// <param name="decoderAttentionMask">[batch, kvSeq]</param>
    /// <param name="encoderOutput">[batch, encoderSeq, hidden]</param>
    /// <returns>
    /// <c>logits</c> [batch, seq kept, vocab], <c>past_key_values</c>, <c>encoder_last_hidden_state</c> [batch, encoderSeq, hidden].
    /// </returns>
    private protected abstract ModelOutput Forward(Tensor? inputIds, Tensor attentionMask, Tensor decoderInputIds,
        Tensor decoderAttentionMask, Tensor? encoderOutput, KeyValueCache? cache, int logitsToKeep);
}
