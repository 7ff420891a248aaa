using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>A decoder whose layers with a state receive the padding of the pass, and the others the mask of their attention.</summary>
/// <remarks>Qwen3NextModel in transformers/models/qwen3_next/modeling_qwen3_next.py and its relatives</remarks>
[SharedLayer]
public sealed partial class HybridModel : DecoderModel
{
    private readonly bool _hasRotary;
    private readonly Func<int, bool> _hasState;

    /// <param name="hasState">Whether a layer has a state instead of keys and values.</param>
    internal HybridModel(DecoderDescription description, Func<int, bool> hasState) : base(description, description.HasRotaryEmbedding) =>
        (_hasState, _hasRotary) = (hasState, description.HasRotaryEmbedding);

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1);
        Tensor hidden = inputIds;                                                               // [batch, seq, hidden]
        if (!_takesEmbeddings) hidden = _embedTokens.Call(inputIds);                            // [batch, seq, hidden]
        if (_embeddingMultiplier is not null) hidden = hidden * _embeddingMultiplier.Value;     // [batch, seq, hidden]
        Tensor causal = AttentionMask.Causal(attentionMask, seqLen, hidden.dtype);              // [batch, 1, seq, kvSeq]
        Tensor? padding = PaddingMask.Of(attentionMask, seqLen);                                // [batch, seq]
        object?[] positions = [];
        if (_hasRotary) positions = _rotaryEmb!.Call(hidden, positionIds);                      // 2 x [batch, seq, rotaryDim]
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor? mask = _hasState(layer) ? padding : causal;
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!; // [batch, seq, hidden]
        }
        hidden = _norm.Call(hidden);                                                            // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
