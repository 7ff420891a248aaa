using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>Whose tokens attend to whose.</summary>
internal enum BartAttentionKind
{
    Encoder,
    Decoder,
    Cross,
}

public sealed partial class BartAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly BartAttentionKind _kind;
    private readonly double _scale;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;
    private readonly FusedAttention? _fusedAttention;

    internal BartAttention(BartConfig config, int heads, int layer, BartAttentionKind kind)
    {
        (_layer, _heads, _headDim, _kind) = (layer, heads, config.HiddenSize / heads, kind);
        _scale = 1 / Math.Sqrt(_headDim);
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize));
        if (kind is BartAttentionKind.Decoder)
            _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, _scale)
            {
                Projections = [_qProj, _kProj, _vProj], OutputProjection = _outProj,
            };
        if (kind is not BartAttentionKind.Cross) return;
        _kProj.SetIsOfEncoder();
        _vProj.SetIsOfEncoder();
    }

    protected internal override Axes ResolveTokens(Axes axes) => _kind is BartAttentionKind.Cross
        ? axes with { IsKvSeqOfEncoder = axes.KvSeq != Axes.None } : base.ResolveTokens(axes);

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q_proj", "k_proj", "v_proj", "out_proj");

    public override Axes OutputAxes(int element) => ResolveTokens(element == 1 ? Axes.Attention : Axes.Hidden);

    public override Axes InputAxes(string argument) => argument switch
    {
        "key_value_states" => Axes.EncoderHidden,
        "attention_mask" => ResolveTokens(Axes.Attention),
        _ => ResolveTokens(Axes.Hidden),
    };

    /// <param name="keyValueStates">The encoder's output in cross attention, [batch, kvSeq, hidden].</param>
    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor? keyValueStates, Tensor mask, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden], _kind switch
        {
            BartAttentionKind.Encoder => [new("attention_mask", mask), new("use_cache", false)],
            BartAttentionKind.Decoder => [new("past_key_values", cache), new("attention_mask", mask)],
            _ => [new("key_value_states", keyValueStates), new("attention_mask", mask), new("past_key_values", cache)],
        }))
        : Forward(hidden, keyValueStates, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "key_value_states") as Tensor,
        arguments.Tensor(3, "attention_mask"),
        arguments.Get(2, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor? keyValueStates, Tensor mask, KeyValueCache? cache)
    {
        if (_fusedAttention?.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor key, value;
        if (keyValueStates is null)
        {
            key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);                 // [batch, heads, seq, headDim]
            value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);               // [batch, heads, seq, headDim]
            if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        }
        else if (cache?.CrossAttention(_layer) is { } cached) (key, value) = cached;
        else
        {
            key = EagerAttention.SplitKeyHeads(_kProj.Call(keyValueStates), _heads, _headDim);      // [batch, heads, kvSeq, headDim]
            value = EagerAttention.SplitKeyHeads(_vProj.Call(keyValueStates), _heads, _headDim);    // [batch, heads, kvSeq, headDim]
            cache?.SetCrossAttention(_layer, key, value);
        }
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _outProj.Call(mixed.flatten(2));                                            // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
