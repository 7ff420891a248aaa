using Ndif.Models.Layers;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

public sealed partial class BartEncoder : SiteModule
{
    private readonly Embedding _embedTokens;
    private readonly BartLearnedPositionalEmbedding _embedPositions;
    private readonly ModuleList<BartEncoderLayer> _layers;
    private readonly LayerNorm _layernormEmbedding;

    internal BartEncoder(BartConfig config, Embedding shared)
    {
        _embedTokens = Child("embed_tokens", BartModel.NewEmbedding(config, shared.Table));
        _embedPositions = Child("embed_positions", new BartLearnedPositionalEmbedding(config));
        _layers = Child("layers", new ModuleList<BartEncoderLayer>(config.Encoder.NumLayers, layer => new BartEncoderLayer(config, layer)));
        _layernormEmbedding = Child("layernorm_embedding", new LayerNorm(config.HiddenSize));
        SetIsOfEncoder();
    }

    public override Axes OutputAxes(int element) => Axes.EncoderHidden;

    public override Axes InputAxes(string argument) => Axes.EncoderHidden;

    /// <returns><c>last_hidden_state</c> [batch, seq, hidden].</returns>
    public ModelOutput Call(Tensor inputIds, Tensor attentionMask) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([], [new("input_ids", inputIds), new("attention_mask", attentionMask)]))
        : Forward(inputIds, attentionMask);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "input_ids"), arguments.Tensor(1, "attention_mask"));

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embedTokens.Call(inputIds);                                        // [batch, seq, hidden]
        Tensor positions = _embedPositions.Call(hidden.select(-1, 0));                      // [batch, seq, hidden]
        hidden = _layernormEmbedding.Call(hidden + positions);                              // [batch, seq, hidden]
        Tensor mask = AttentionMask.Bidirectional(attentionMask, hidden.dtype);             // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask)[0]!;                         // [batch, seq, hidden]
        return new ModelOutput(new KeyValuePair<string, object?>("last_hidden_state", hidden.MoveToOuterDisposeScope()));
    }
}

public sealed partial class BartEncoderLayer : SiteModule
{
    private readonly BartAttention _selfAttn;
    private readonly LayerNorm _selfAttnLayerNorm, _finalLayerNorm;
    private readonly Activation _activationFn;
    private readonly Linear _fc1, _fc2;

    internal BartEncoderLayer(BartConfig config, int layer)
    {
        _selfAttn = Child("self_attn", new BartAttention(config, config.Encoder.NumHeads, layer, BartAttentionKind.Encoder));
        _selfAttnLayerNorm = Child("self_attn_layer_norm", new LayerNorm(config.HiddenSize));
        _activationFn = Child("activation_fn", Activation.Read(config.Json, "activation_function", "gelu"));
        _fc1 = Child("fc1", new Linear(config.HiddenSize, config.Encoder.IntermediateSize));
        _fc2 = Child("fc2", new Linear(config.Encoder.IntermediateSize, config.HiddenSize));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        info.Residual = Layouts.Normalized("self_attn_layer_norm", "self_attn", "fc2");
        info.Mlp = Layouts.Mlp("fc1", "fc2");
    }

    public override Axes OutputAxes(int element) => Axes.EncoderHidden;

    public override Axes InputAxes(string argument) =>
        ResolveTokens(argument is "1" or "attention_mask" ? Axes.Attention : Axes.Hidden);

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, mask], [new("use_cache", false)]))
        : Forward(hidden, mask);

    public override object? Run(Arguments arguments) =>
        Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, Tensor mask)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_selfAttn.Call(hidden, null, mask, null)[0]!;                        // [batch, seq, hidden]
        Tensor middle = _selfAttnLayerNorm.Call(hidden + attended);                                 // [batch, seq, hidden]
        Tensor intermediate = _activationFn.Call(_fc1.Call(middle));                                // [batch, seq, intermediate]
        Tensor output = _finalLayerNorm.Call(middle + _fc2.Call(intermediate));                     // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
