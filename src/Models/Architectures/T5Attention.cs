using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>Attention to the tokens of the same stack, or of a decoder to those of the encoder. Scores are not scaled.</summary>
public sealed partial class T5Attention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly bool _isCross;
    private readonly RelativePositionBuckets? _buckets;
    private readonly Linear _q, _k, _v, _o;
    private readonly Embedding? _relativeAttentionBias;

    internal T5Attention(T5Config config, int layer, bool isCross, RelativePositionBuckets? buckets)
    {
        (ClassName, _layer, _heads, _headDim) = ($"{config.Family}Attention", layer, config.NumHeads, config.HeadDim);
        (_isCross, _buckets) = (isCross, buckets);
        int inner = _heads * _headDim;
        _q = Child("q", new Linear(config.HiddenSize, inner, bias: false));
        _k = Child("k", new Linear(config.HiddenSize, inner, bias: false));
        _v = Child("v", new Linear(config.HiddenSize, inner, bias: false));
        _o = Child("o", new Linear(inner, config.HiddenSize, bias: false));
        if (buckets is not null)
        {
            _relativeAttentionBias = Child("relative_attention_bias", new Embedding(config.NumBuckets, _heads));
            _relativeAttentionBias.SetAxes(new Axes(Axes.None, 0, 1));
        }
        if (!isCross) return;
        _k.SetIsOfEncoder();
        _v.SetIsOfEncoder();
    }

    public override string ClassName { get; }

    protected internal override Axes ResolveTokens(Axes axes) =>
        _isCross ? axes with { IsKvSeqOfEncoder = axes.KvSeq != Axes.None } : base.ResolveTokens(axes);

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q", "k", "v", "o");

    public override Axes OutputAxes(int element) => ResolveTokens(element == 0 ? Axes.Hidden : Axes.Attention);

    public override Axes InputAxes(string argument) => argument switch
    {
        "key_value_states" => Axes.EncoderHidden,
        "mask" or "position_bias" => ResolveTokens(Axes.Attention),
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="keyValueStates">The encoder's output in cross attention, [batch, kvSeq, hidden].</param>
    /// <param name="positionBias">[batch, heads, seq, kvSeq], with the mask; null in the first layer.</param>
    /// <returns>A tuple: output [batch, seq, hidden], position bias and probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor? mask, Tensor? keyValueStates, Tensor? positionBias, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments([hidden], _isCross
            ?
            [
                new("mask", mask), new("key_value_states", keyValueStates), new("position_bias", positionBias),
                new("past_key_values", cache),
            ]
            :
            [
                new("mask", mask), new("position_bias", positionBias), new("past_key_values", cache), new("use_cache", cache is not null),
            ]))
        : Forward(hidden, mask, keyValueStates, positionBias, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "mask") as Tensor,
        arguments.Get(2, "key_value_states") as Tensor,
        arguments.Get(3, "position_bias") as Tensor,
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor? mask, Tensor? keyValueStates, Tensor? positionBias, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_q.Call(hidden), _heads, _headDim);                // [batch, heads, seq, headDim]
        Tensor key, value;
        if (keyValueStates is null)
        {
            key = EagerAttention.SplitHeads(_k.Call(hidden), _heads, _headDim);                     // [batch, heads, seq, headDim]
            value = EagerAttention.SplitHeads(_v.Call(hidden), _heads, _headDim);                   // [batch, heads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        }
        else if (cache?.CrossAttention(_layer) is { } cached) (key, value) = cached;
        else
        {
            key = EagerAttention.SplitKeyHeads(_k.Call(keyValueStates), _heads, _headDim);          // [batch, heads, kvSeq, headDim]
            value = EagerAttention.SplitKeyHeads(_v.Call(keyValueStates), _heads, _headDim);        // [batch, heads, kvSeq, headDim]
            cache?.SetCrossAttention(_layer, key, value);
        }
        Tensor bias = positionBias ?? PositionBias(hidden, key, mask);                              // [batch, heads, seq, kvSeq]
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, bias, 1);
        Tensor output = _o.Call(mixed.flatten(2));                                                  // [batch, seq, hidden]
        object?[] results = [output, bias, probabilities];
        T5Block.MoveToOuterScope(results, positionBias);
        return results;
    }

    /// <summary>The bias by distance, which is zero where there is none, and the mask.</summary>
    /// <returns>[batch, heads, seq, kvSeq]</returns>
    [Operation("compute_bias")]
    private Tensor PositionBias(Tensor hidden, Tensor key, Tensor? mask)
    {
        long seqLen = hidden.size(1), kvSeqLen = key.size(2);
        Tensor bias;                                                                                // [1, heads, seq, kvSeq]
        if (_buckets is null || _relativeAttentionBias is null) bias = zeros([1, _heads, seqLen, kvSeqLen], hidden.dtype, hidden.device);
        else
        {
            Tensor buckets = _buckets.Of(seqLen, kvSeqLen, hidden.device);                          // [seq, kvSeq]
            bias = _relativeAttentionBias.Call(buckets).permute(2, 0, 1).unsqueeze(0);
        }
        return mask is null ? bias : bias + mask;
    }
}
