using Ndif.Models;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Cli.Parity;

/// <summary>Greedy decoding with a key-value cache and without a stopping criterion.</summary>
internal static class GreedyDecoding
{
    /// <summary>Generates tokens.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ids">The prompts: [batch, seq] int64, left-padded.</param>
    /// <param name="mask">The attention mask: [batch, seq] int64.</param>
    /// <param name="steps">The number of tokens to generate.</param>
    /// <returns>
    /// The ids, [batch, seq + steps], and the logits of each step, [batch, steps, vocab]. The ids of an encoder-decoder are those of the
    /// decoder, [batch, 1 + steps].
    /// </returns>
    public static (Tensor Ids, Tensor Logits) Run(LoadedModel model, Tensor ids, Tensor mask, int steps)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        using KeyValueCache cache = model.NewCache();
        if (model.Root is Seq2SeqLM root) return RunDecoder(root, ids, mask, steps, cache);
        List<Tensor> allIds = [ids], logits = [];
        Tensor next = ids, positions = Positions(mask);                                     // [batch, seq]
        for (int step = 0; step < steps; step++)
        {
            ModelOutput output = model.Root.Call(new(next, mask, positions, cache, LogitsToKeep: 1));
            var last = (Tensor)output["logits"]!;                                           // [batch, 1, vocab]
            next = last.argmax(-1);                                                         // [batch, 1]
            logits.Add(last);
            allIds.Add(next);
            mask = cat([mask, ones_like(next)], 1);                                         // [batch, seq + step + 1]
            positions = positions.narrow(1, positions.size(1) - 1, 1) + 1;                  // [batch, 1]
        }
        return (cat(allIds, 1).MoveToOuterDisposeScope(), cat(logits, 1).MoveToOuterDisposeScope());
    }

    /// <summary>Runs the encoder once, and the decoder from its first token on.</summary>
    private static (Tensor Ids, Tensor Logits) RunDecoder(Seq2SeqLM root, Tensor ids, Tensor mask, int steps, KeyValueCache cache)
    {
        Tensor next = full([ids.size(0), 1], (long)root.DecoderStartTokenId, ScalarType.Int64), decoderMask = ones_like(next); // [batch, 1]
        List<Tensor> allIds = [next], logits = [];
        for (int step = 0; step < steps; step++)
        {
            ModelInputs inputs = new(ids, mask, Positions(mask), cache, LogitsToKeep: 1)
            {
                DecoderInputIds = next, DecoderAttentionMask = decoderMask, EncoderOutput = cache.EncoderOutput()?.HiddenStates,
            };
            var last = (Tensor)root.Call(inputs)["logits"]!;                                // [batch, 1, vocab]
            next = last.argmax(-1);                                                         // [batch, 1]
            logits.Add(last);
            allIds.Add(next);
            decoderMask = cat([decoderMask, ones_like(next)], 1);                           // [batch, step + 2]
        }
        return (cat(allIds, 1).MoveToOuterDisposeScope(), cat(logits, 1).MoveToOuterDisposeScope());
    }

    /// <summary>The position ids of a left-padded batch, which do not count the padding: [batch, seq].</summary>
    public static Tensor Positions(Tensor mask) => (mask.cumsum(1) - 1).clamp_min(0);
}
