using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// Attention with a projection for each of queries, keys and values, and positions that rotate queries and keys. Options are norms of
/// queries and keys, a rotated part of each head, a soft cap and a scale; the mask implements the window.
/// </summary>
/// <remarks>
/// LlamaAttention in transformers/models/llama/modeling_llama.py and its relatives; Hugging Face has one copy per model.
/// </remarks>
public sealed partial class RotaryAttention : DecoderAttention
{
    private readonly bool _normsAllHeads, _normsEachHead, _normsAfterProjections, _normsAfterSplit, _normsAfterRotation;
    private readonly bool _isPartialRotary, _rotatesInFloat32, _rotatesAdjacent, _rotatesRepeated, _rotatesHalves;
    private readonly double? _clip;
    private readonly QueryScaling? _queryScaling;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly TensorModule? _qNorm, _kNorm;
    private readonly FusedAttention? _fusedAttention;

    internal RotaryAttention(DecoderDescription description, int layer) : base(description, layer)
    {
        int hiddenSize = description.Config.HiddenSize, querySize = NumHeads * HeadDim, keySize = NumKvHeads * HeadDim;
        if (description.HasUnusedRotaryEmbedding) Child("rotary_emb", description.CreateRotaryEmbedding());
        _qProj = Child("q_proj", new Linear(hiddenSize, querySize, description.QkvBias));
        _kProj = Child("k_proj", new Linear(hiddenSize, keySize, description.QkvBias));
        _vProj = Child("v_proj", new Linear(hiddenSize, keySize, description.QkvBias));
        _oProj = Child(description.OutputProjectionName, new Linear(querySize, hiddenSize, description.OutputBias));
        (_clip, _queryScaling) = (description.ClipQkv, description.QueryScaling);
        if (description.HasRotaryPositions(layer))
        {
            _rotatesAdjacent = description.RotaryPairs is RotaryPairs.Adjacent;
            _rotatesRepeated = description.RotaryPairs is RotaryPairs.AdjacentRepeated;
            _rotatesHalves = description.RotaryPairs is RotaryPairs.Halves;
            _isPartialRotary = _rotatesHalves && description.IsPartialRotary;
            _rotatesInFloat32 = _rotatesHalves && description.RotatesInFloat32;
        }
        if (description.QkNorms is not QkNorms.None)
        {
            _normsAllHeads = description.QkNorms is QkNorms.AllHeads;
            _normsEachHead = description.QkNorms is QkNorms.EachHead;
            _normsAfterProjections = description.QkNorms is QkNorms.EachHeadAfterProjections;
            _normsAfterSplit = description.QkNorms is QkNorms.EachHeadAfterSplit;
            _normsAfterRotation = description.QkNorms is QkNorms.EachHeadAfterRotation;
            Axes? axes = _normsAfterSplit || _normsAfterRotation ? new Axes(0, 2) : null; // [batch, heads, seq, headDim]
            _qNorm = Child(description.QkNormNames.Query, CreateQkNorm(NumHeads, querySize));
            _kNorm = Child(description.QkNormNames.Key, CreateQkNorm(NumKvHeads, keySize));

            TensorModule CreateQkNorm(int heads, int size) => description.CreateQkNormOfHeads is { } create ? create(heads, axes)
                : description.CreateNorm(_normsAllHeads ? size : HeadDim, axes);
        }
        if (_clip is null && _queryScaling is null && !_normsAfterRotation)
            _fusedAttention = CreateFused([_qProj, _kProj, _vProj], _oProj, _qNorm, _kNorm);
    }

    private bool HasRotaryPositions => _rotatesHalves || _rotatesAdjacent || _rotatesRepeated;

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (_fusedAttention?.TryForward(hidden, cache, mask, HasRotaryPositions ? positionEmbeddings : null) is { } fused) return fused;
        using var scope = NewDisposeScope();
        long batch = hidden.size(0), seqLen = hidden.size(1);
        Tensor query = _qProj.Call(hidden);                                                       // [batch, seq, heads · headDim]
        if (_clip is not null) query = query.clamp(-_clip.Value, _clip.Value);                    // [batch, seq, heads · headDim]
        if (_normsAllHeads) query = _qNorm!.Call(query);                                     // [batch, seq, heads · headDim]
        if (_normsEachHead) query = _qNorm!.Call(query.view(batch, seqLen, -1, HeadDim)).transpose(1, 2); // [batch, heads, seq, headDim]
        else query = EagerAttention.SplitHeads(query, NumHeads, HeadDim);                         // [batch, heads, seq, headDim]
        Tensor key = _kProj.Call(hidden);                                                         // [batch, seq, kvHeads · headDim]
        if (_clip is not null) key = key.clamp(-_clip.Value, _clip.Value);                        // [batch, seq, kvHeads · headDim]
        if (_normsAllHeads) key = _kNorm!.Call(key);                                         // [batch, seq, kvHeads · headDim]
        if (_normsEachHead) key = _kNorm!.Call(key.view(batch, seqLen, -1, HeadDim)).transpose(1, 2); // [batch, kvHeads, seq, headDim]
        else key = EagerAttention.SplitHeads(key, NumKvHeads, HeadDim);                           // [batch, kvHeads, seq, headDim]
        Tensor value = _vProj.Call(hidden);                                                       // [batch, seq, kvHeads · headDim]
        if (_clip is not null) value = value.clamp(-_clip.Value, _clip.Value);                    // [batch, seq, kvHeads · headDim]
        value = EagerAttention.SplitHeads(value, NumKvHeads, HeadDim);                            // [batch, kvHeads, seq, headDim]
        if (_normsAfterProjections) query = _qNorm!.Call(query.transpose(1, 2)).transpose(1, 2);  // [batch, heads, seq, headDim]
        if (_normsAfterProjections) key = _kNorm!.Call(key.transpose(1, 2)).transpose(1, 2);      // [batch, kvHeads, seq, headDim]
        if (_normsAfterSplit) query = _qNorm!.Call(query);                                   // [batch, heads, seq, headDim]
        if (_normsAfterSplit) key = _kNorm!.Call(key);                                       // [batch, kvHeads, seq, headDim]
        if (_isPartialRotary) query = PartialRotary.Rotate(query, positionEmbeddings);            // [batch, heads, seq, headDim]
        else if (_rotatesInFloat32) query = RotaryEmbedding.RotateInFloat32(query, positionEmbeddings); // [batch, heads, seq, headDim]
        else if (_rotatesAdjacent) query = AdjacentRotary.Rotate(query, positionEmbeddings);      // [batch, heads, seq, headDim]
        else if (_rotatesRepeated) query = AdjacentRotary.RotateRepeated(query, positionEmbeddings); // [batch, heads, seq, headDim]
        else if (_rotatesHalves) query = RotaryEmbedding.Rotate(query, positionEmbeddings);       // [batch, heads, seq, headDim]
        if (_isPartialRotary) key = PartialRotary.Rotate(key, positionEmbeddings);                // [batch, kvHeads, seq, headDim]
        else if (_rotatesInFloat32) key = RotaryEmbedding.RotateInFloat32(key, positionEmbeddings); // [batch, kvHeads, seq, headDim]
        else if (_rotatesAdjacent) key = AdjacentRotary.Rotate(key, positionEmbeddings);          // [batch, kvHeads, seq, headDim]
        else if (_rotatesRepeated) key = AdjacentRotary.RotateRepeated(key, positionEmbeddings);  // [batch, kvHeads, seq, headDim]
        else if (_rotatesHalves) key = RotaryEmbedding.Rotate(key, positionEmbeddings);           // [batch, kvHeads, seq, headDim]
        if (_normsAfterRotation) query = _qNorm!.Call(query);                                     // [batch, heads, seq, headDim]
        if (_normsAfterRotation) key = _kNorm!.Call(key);                                         // [batch, kvHeads, seq, headDim]
        if (_queryScaling is not null) query = query * _queryScaling.At(positionIds, query.dtype); // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale, SoftCap);
        Tensor output = _oProj.Call(mixed.flatten(2));                                            // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
