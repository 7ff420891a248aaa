using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// Multi-head latent attention: keys and values are projected from one small latent of each token, and a part of each key, the same for
/// all heads, is rotated. The cache has the keys and values of all heads, as that of Hugging Face.
/// </summary>
/// <remarks>DeepseekV3Attention in transformers/models/deepseek_v3/modeling_deepseek_v3.py and its relatives</remarks>
public sealed partial class LatentAttention : DecoderAttention
{
    private readonly int _nopeDim, _ropeDim, _valueDim, _kvRank;
    private readonly bool _isComplex, _isAdjacent;
    private readonly QueryScaling? _queryScaling;
    private readonly Linear? _qProj, _qAProj, _qBProj;
    private readonly RMSNorm? _qALayernorm;
    private readonly Linear _kvAProjWithMqa, _kvBProj, _oProj;
    private readonly RMSNorm _kvALayernorm;

    /// <param name="normEps">The eps of the norms inside, which is not that of the model.</param>
    /// <param name="isAdjacent">Whether positions rotate adjacent dimensions (rope_interleave).</param>
    internal LatentAttention(DecoderDescription description, int layer, LatentAttentionConfig latent, bool bias, double normEps,
        bool isAdjacent) : base(description, layer)
    {
        int hiddenSize = description.Config.HiddenSize;
        (_nopeDim, _ropeDim, _valueDim, _kvRank) = (latent.NopeDim, latent.RopeDim, latent.ValueDim, latent.KvRank);
        (_isComplex, _isAdjacent) = (description.RotaryPairs is RotaryPairs.Complex, isAdjacent);
        _queryScaling = description.QueryScaling;
        string norm = $"{description.Family}RMSNorm";
        if (latent.QueryRank is { } rank)
        {
            _qAProj = Child("q_a_proj", new Linear(hiddenSize, rank, bias));
            _qALayernorm = Child("q_a_layernorm", new RMSNorm(norm, rank, normEps));
            _qBProj = Child("q_b_proj", new Linear(rank, NumHeads * latent.QkDim, bias: false));
        }
        else
        {
            _qProj = Child("q_proj", new Linear(hiddenSize, NumHeads * latent.QkDim, bias: false));
        }
        _kvAProjWithMqa = Child("kv_a_proj_with_mqa", new Linear(hiddenSize, latent.KvRank + latent.RopeDim, bias));
        _kvALayernorm = Child("kv_a_layernorm", new RMSNorm(norm, latent.KvRank, normEps));
        _kvBProj = Child("kv_b_proj", new Linear(latent.KvRank, NumHeads * (latent.NopeDim + latent.ValueDim), bias: false));
        _oProj = Child("o_proj", new Linear(NumHeads * latent.ValueDim, hiddenSize, bias));
    }

    /// <summary>Queries and keys are not linear in the input alone, and their heads have another size than those of values.</summary>
    protected internal override void DescribeLayout(Protocol.ModuleInfo info) => info.Attention = new()
    {
        Heads = (uint)NumHeads, KvHeads = (uint)NumHeads, HeadDim = (uint)_valueDim, Output = "o_proj",
    };

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor projected = hidden;                                                                  // [batch, seq, hidden]
        if (_qProj is not null) projected = _qProj.Call(hidden);                                    // [batch, seq, heads · qkDim]
        if (_qAProj is not null) projected = _qBProj!.Call(_qALayernorm!.Call(_qAProj.Call(hidden))); // [batch, seq, heads · qkDim]
        Tensor query = EagerAttention.SplitHeads(projected, NumHeads, _nopeDim + _ropeDim);         // [batch, heads, seq, qkDim]
        Tensor compressed = _kvAProjWithMqa.Call(hidden);                                           // [batch, seq, kvRank + ropeDim]
        Tensor latent = _kvALayernorm.Call(compressed.narrow(-1, 0, _kvRank));                      // [batch, seq, kvRank]
        // [batch, heads, seq, nopeDim + valueDim]
        Tensor expanded = EagerAttention.SplitHeads(_kvBProj.Call(latent), NumHeads, _nopeDim + _valueDim);
        Tensor value = expanded.narrow(-1, _nopeDim, _valueDim);                                    // [batch, heads, seq, valueDim]
        Tensor queryPart = query.narrow(-1, _nopeDim, _ropeDim);                                    // [batch, heads, seq, ropeDim]
        Tensor keyPart = compressed.narrow(-1, _kvRank, _ropeDim).unsqueeze(1);                     // [batch, 1, seq, ropeDim]
        if (_isComplex) queryPart = ComplexRotary.Rotate(queryPart, (Tensor)positionEmbeddings[0]!); // [batch, heads, seq, ropeDim]
        else if (_isAdjacent) queryPart = RotateAdjacent(queryPart, positionEmbeddings);            // [batch, heads, seq, ropeDim]
        else queryPart = RotaryEmbedding.Rotate(queryPart, positionEmbeddings);                     // [batch, heads, seq, ropeDim]
        if (_isComplex) keyPart = ComplexRotary.Rotate(keyPart, (Tensor)positionEmbeddings[0]!);    // [batch, 1, seq, ropeDim]
        else if (_isAdjacent) keyPart = RotateAdjacent(keyPart, positionEmbeddings);                // [batch, 1, seq, ropeDim]
        else keyPart = RotaryEmbedding.Rotate(keyPart, positionEmbeddings);                         // [batch, 1, seq, ropeDim]
        query = cat([query.narrow(-1, 0, _nopeDim), queryPart], -1);                                // [batch, heads, seq, qkDim]
        if (_queryScaling is not null) query = query * _queryScaling.At(positionIds, query.dtype);  // [batch, heads, seq, qkDim]
        Tensor keyHeads = keyPart.expand(keyPart.size(0), NumHeads, keyPart.size(2), _ropeDim);     // [batch, heads, seq, ropeDim]
        Tensor key = cat([expanded.narrow(-1, 0, _nopeDim), keyHeads], -1);                         // [batch, heads, seq, qkDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Moves the first and the second dimension of each pair to halves of the head, and rotates those.</summary>
    /// <remarks>apply_rotary_pos_emb_interleave in transformers/models/deepseek_v3/modeling_deepseek_v3.py</remarks>
    /// <param name="x">[batch, heads, seq, ropeDim]</param>
    /// <returns>[batch, heads, seq, ropeDim]</returns>
    [Operation("apply_rotary_pos_emb_interleave")]
    private static Tensor RotateAdjacent(Tensor x, object?[] positionEmbeddings)
    {
        Tensor pairs = x.reshape(x.size(0), x.size(1), x.size(2), x.size(3) / 2, 2);                // [batch, heads, seq, ropeDim/2, 2]
        Tensor halves = pairs.transpose(3, 4).flatten(3);                                           // [batch, heads, seq, ropeDim]
        return RotaryEmbedding.Rotate(halves, positionEmbeddings);
    }
}
