using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>Attention without a scale of the scores, with norms on queries, keys and values.</summary>
public sealed partial class Gemma3nTextAttention : KeySharingAttention
{
    private readonly Linear _qProj, _oProj;
    private readonly Linear? _kProj, _vProj;
    private readonly RMSNorm _qNorm;
    private readonly RMSNorm? _kNorm, _vNorm;

    internal Gemma3nTextAttention(Gemma3nTextConfig config, int layer) :
        base(config.Sharing, layer, config.HeadDim, config.SlidingWindow)
    {
        int size = config.HiddenSize, querySize = config.NumHeads * HeadDim, keySize = config.NumKvHeads * HeadDim;
        _qProj = Child("q_proj", new Linear(size, querySize, config.AttentionBias));
        _qNorm = Child("q_norm", config.CreateNorm(HeadDim));
        if (HasOwnKeys)
        {
            _kProj = Child("k_proj", new Linear(size, keySize, config.AttentionBias));
            _vProj = Child("v_proj", new Linear(size, keySize, config.AttentionBias));
            _kNorm = Child("k_norm", config.CreateNorm(HeadDim));
            _vNorm = Child("v_norm", config.CreateNorm(HeadDim, hasWeight: false));
        }
        _oProj = Child("o_proj", new Linear(querySize, size, config.AttentionBias));
    }

    protected override object?[] Forward(
        Tensor hidden, object?[] positionEmbeddings, Tensor mask, SharedKeyValues? shared, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long batch = hidden.size(0), seqLen = hidden.size(1);
        Tensor query = _qNorm.Call(_qProj.Call(hidden).view(batch, seqLen, -1, HeadDim));           // [batch, seq, heads, headDim]
        query = RotaryEmbedding.Rotate(query.transpose(1, 2), positionEmbeddings);                  // [batch, heads, seq, headDim]
        Tensor key, value;                                                                          // 2 x [batch, kvHeads, kvSeq, headDim]
        if (_kProj is null) (key, value) = SharedKeysAndValues(shared, query);
        else
        {
            Tensor ownKey = _kNorm!.Call(_kProj.Call(hidden).view(batch, seqLen, -1, HeadDim));     // [batch, seq, kvHeads, headDim]
            key = RotaryEmbedding.Rotate(ownKey.transpose(1, 2), positionEmbeddings);               // [batch, kvHeads, seq, headDim]
            Tensor ownValue = _vNorm!.Call(_vProj!.Call(hidden).view(batch, seqLen, -1, HeadDim));  // [batch, seq, kvHeads, headDim]
            value = ownValue.transpose(1, 2);                                                       // [batch, kvHeads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        }
        if (IsSource) shared?.Set(LayerType, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, scale: 1);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
