using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>
/// A layer with either attention or a mixer with a state, and an mlp, each after a norm and added to the residual stream.
/// </summary>
/// <remarks>
/// JambaMambaDecoderLayer and JambaAttentionDecoderLayer in transformers/models/jamba/modeling_jamba.py and their relatives
/// </remarks>
[SharedLayer]
public sealed partial class HybridDecoderLayer : DecoderBlock
{
    private readonly StateSpaceMixer? _mixer;
    private readonly DecoderAttention? _selfAttn;
    private readonly TensorModule _mixerNorm, _mlpNorm, _mlp;

    /// <param name="className">The class name in Hugging Face's code of the model: "JambaMambaDecoderLayer".</param>
    /// <param name="children">
    /// In the order of Hugging Face's constructor: a mixer or an attention, an mlp, and two norms, of which the first is before the mixer.
    /// </param>
    internal HybridDecoderLayer(
        DecoderDescription description, string className, params ReadOnlySpan<(string Name, SiteModule Module)> children) :
        base(description, className)
    {
        foreach (var (name, module) in children) Child(name, module);
        _mixer = Children.OfType<StateSpaceMixer>().SingleOrDefault();
        _selfAttn = Children.OfType<DecoderAttention>().SingleOrDefault();
        TensorModule[] norms = [.. Children.OfType<RMSNorm>()];
        (_mixerNorm, _mlpNorm) = (norms[0], norms[1]);
        _mlp = Children.OfType<TensorModule>().Single(child => child is not RMSNorm);
    }

    protected override bool KeepsState => _mixer is not null;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual =
        Layouts.Sequential((_selfAttn ?? (SiteModule)_mixer!).Name, _mlp.Name);

    public override Axes InputAxes(string argument) =>
        argument == "attention_mask" && _mixer is not null ? new Axes(0, 1) : base.InputAxes(argument);

    protected override object?[] Forward(
        Tensor hidden, Tensor? mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _mixerNorm.Call(hidden);                                                // [batch, seq, hidden]
        Tensor mixed = normal;                                                                  // [batch, seq, hidden]
        if (_mixer is not null) mixed = _mixer.Call(normal, cache, mask);                       // [batch, seq, hidden]
        if (_selfAttn is not null) mixed = (Tensor)_selfAttn.Call(normal, mask!, positionIds, cache, positionEmbeddings)[0]!;
        Tensor middle = hidden + mixed;                                                         // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_mlpNorm.Call(middle));                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
