using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an OPT.</summary>
/// <param name="EmbeddingSize">The size of the embeddings; if it is not the hidden size, projections lead from one to the other.</param>
/// <param name="NormBefore">Norms before attention and mlp; otherwise after.</param>
/// <param name="FinalNorm">A norm after the last layer.</param>
/// <param name="Affine">Norms have weights and biases.</param>
/// <remarks>transformers/models/opt/configuration_opt.py</remarks>
public sealed record OPTConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int EmbeddingSize, int IntermediateSize, int NumLayers, int NumHeads,
    bool NormBefore, bool FinalNorm, bool Affine, bool Bias, bool TieWordEmbeddings, int PadTokenId)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static OPTConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 768), numHeads = json.Size("num_attention_heads", 12);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {numHeads}", $"{hiddenSize}");
        bool before = json.Flag("do_layer_norm_before", true);
        return new OPTConfig(json.Size("vocab_size", 50272), json.Size("max_position_embeddings", 2048), hiddenSize,
            json.Size("word_embed_proj_dim", hiddenSize), json.Size("ffn_dim", 3072), json.Size("num_hidden_layers", 12), numHeads,
            before, before && !json.Flag("_remove_final_layer_norm", false),
            json.Flag("layer_norm_elementwise_affine", true), json.Flag("enable_bias", true), json.Flag("tie_word_embeddings", true),
            (int)json.Integer("pad_token_id", 1));
    }
}

/// <summary>OPT: learned positions that start at row 2 of their table, ReLU.</summary>
/// <remarks>transformers/models/opt/modeling_opt.py; Zhang et al., 2022</remarks>
[Architecture("OPTForCausalLM", ModelType = "opt")]
public sealed class OPTForCausalLM : DecoderForCausalLM
{
    public OPTForCausalLM(ConfigReader json) : this(OPTConfig.Read(json), json) { }

    private OPTForCausalLM(OPTConfig config, ConfigReader json) : this(config, new OPTModel(config, json)) { }

    private OPTForCausalLM(OPTConfig config, OPTModel model) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "model.decoder.embed_tokens", Layers = "model.decoder.layers",
            FinalNorm = config.FinalNorm ? "model.decoder.final_layer_norm" : "", LmHead = "lm_head", Attention = "self_attn", Mlp = "fc2",
        },
        model, model.Decoder, config.EmbeddingSize, config.TieWordEmbeddings) { }

    public override bool HasPositionTable => true;
}

/// <summary>The decoder, which the model with a language head calls directly, as in Hugging Face's code.</summary>
public sealed class OPTModel : BaseModel
{
    internal OPTModel(OPTConfig config, ConfigReader json) => Decoder = Child("decoder", new OPTDecoder(config, json));

    public OPTDecoder Decoder { get; }

    internal override Parameter Embeddings => Decoder.Embeddings;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("past_key_values", cache),
            new("use_cache", cache is not null), new("position_ids", positionIds),
        ]))
        : Decoder.Call(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Decoder.Call(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(5, "position_ids"),
        arguments.Get(2, "past_key_values") as KeyValueCache);
}

public sealed partial class OPTDecoder : BaseModel
{
    private readonly Embedding _embedTokens;
    private readonly OPTLearnedPositionalEmbedding _embedPositions;
    private readonly Linear? _projectOut, _projectIn;
    private readonly LayerNorm? _finalLayerNorm;
    private readonly ModuleList<OPTDecoderLayer> _layers;

    internal OPTDecoder(OPTConfig config, ConfigReader json)
    {
        _embedTokens = Child("embed_tokens", new Embedding(config.VocabSize, config.EmbeddingSize, config.PadTokenId));
        _embedPositions = Child("embed_positions", new OPTLearnedPositionalEmbedding(config.MaxPositions, config.HiddenSize));
        if (config.EmbeddingSize != config.HiddenSize)
        {
            _projectOut = Child("project_out", new Linear(config.HiddenSize, config.EmbeddingSize, bias: false));
            _projectIn = Child("project_in", new Linear(config.EmbeddingSize, config.HiddenSize, bias: false));
        }
        if (config.FinalNorm)
            _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize, elementwiseAffine: config.Affine));
        _layers = Child("layers", new ModuleList<OPTDecoderLayer>(config.NumLayers, layer => new OPTDecoderLayer(config, json, layer)));
    }

    internal override Parameter Embeddings => _embedTokens.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("past_key_values", cache),
            new("use_cache", cache is not null), new("position_ids", positionIds),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(5, "position_ids"),
        arguments.Get(2, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor inputsEmbeds = _embedTokens.Call(inputIds);                                                // [batch, seq, embedded hidden]
        Tensor present = attentionMask.to(ScalarType.Float32);                                      // [batch, kvSeq]
        Tensor positionEmbeds = _embedPositions.Call(present, cache?.Length ?? 0, positionIds);          // [batch, seq, hidden]
        if (_projectIn is not null) inputsEmbeds = _projectIn.Call(inputsEmbeds);                               // [batch, seq, hidden]
        Tensor hidden = inputsEmbeds + positionEmbeds;                                                         // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache)[0]!;             // [batch, seq, hidden]
        if (_finalLayerNorm is not null) hidden = _finalLayerNorm.Call(hidden);                     // [batch, seq, hidden]
        if (_projectOut is not null) hidden = _projectOut.Call(hidden);                             // [batch, seq, embedded hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class OPTDecoderLayer : SiteModule
{
    private readonly bool _normBefore;
    private readonly OPTAttention _selfAttn;
    private readonly Activation _activationFn;
    private readonly LayerNorm _selfAttnLayerNorm, _finalLayerNorm;
    private readonly Linear _fc1, _fc2;

    internal OPTDecoderLayer(OPTConfig config, ConfigReader json, int layer)
    {
        _normBefore = config.NormBefore;
        _selfAttn = Child("self_attn", new OPTAttention(config, layer));
        _activationFn = Child("activation_fn", Activation.Read(json, "activation_function", "relu"));
        _selfAttnLayerNorm = Child("self_attn_layer_norm", new LayerNorm(config.HiddenSize, elementwiseAffine: config.Affine));
        _fc1 = Child("fc1", new Linear(config.HiddenSize, config.IntermediateSize, config.Bias));
        _fc2 = Child("fc2", new Linear(config.IntermediateSize, config.HiddenSize, config.Bias));
        _finalLayerNorm = Child("final_layer_norm", new LayerNorm(config.HiddenSize, elementwiseAffine: config.Affine));
        foreach (TensorModule flat in (TensorModule[])[_activationFn, _fc1, _fc2]) flat.SetAxes(Axes.Flat);
        if (_normBefore) _finalLayerNorm.SetAxes(Axes.Flat);
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        info.Residual = _normBefore ? Layouts.Sequential("self_attn", "fc2")
            : Layouts.Normalized("self_attn_layer_norm", "self_attn", "fc2");
        info.Mlp = Layouts.Mlp("fc1", "fc2");
    }

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("attention_mask", mask), new("position_ids", positionIds), new("past_key_values", cache),
            new("use_cache", cache is not null),
        ]))
        : Forward(hidden, mask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(4, "position_ids"),
        arguments.Get(2, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _normBefore ? _selfAttnLayerNorm.Call(hidden) : hidden;                     // [batch, seq, hidden]
        Tensor middle = hidden + (Tensor)_selfAttn.Call(normal, mask, positionIds, cache)[0]!;      // [batch, seq, hidden]
        if (!_normBefore) middle = _selfAttnLayerNorm.Call(middle);
        Tensor flat = middle.reshape(-1, middle.size(2));                                           // [batch·seq, hidden]
        normal = _normBefore ? _finalLayerNorm.Call(flat) : flat;                                   // [batch·seq, hidden]
        Tensor intermediate = _activationFn.Call(_fc1.Call(normal));                                       // [batch·seq, intermediate]
        Tensor output = (flat + _fc2.Call(intermediate)).view(middle.shape);                               // [batch, seq, hidden]
        if (!_normBefore) output = _finalLayerNorm.Call(output);
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class OPTAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;
    private readonly FusedAttention _fusedAttention;

    internal OPTAttention(OPTConfig config, int layer)
    {
        (_layer, _heads, _headDim) = (layer, config.NumHeads, config.HeadDim);
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.HiddenSize, config.Bias));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.HiddenSize, config.Bias));
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.HiddenSize, config.Bias));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize, config.Bias));
        _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, 1)
        {
            Projections = [_qProj, _kProj, _vProj], OutputProjection = _outProj, QueryScale = 1 / Math.Sqrt(_headDim),
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q_proj", "k_proj", "v_proj", "out_proj");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([],
        [
            new("hidden_states", hidden), new("past_key_values", cache), new("position_ids", positionIds), new("attention_mask", mask),
        ]))
        : Forward(hidden, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(1, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor mask, KeyValueCache? cache)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor scaled = _qProj.Call(hidden) * (1 / Math.Sqrt(_headDim));                          // [batch, seq, hidden]
        Tensor query = EagerAttention.SplitHeads(scaled, _heads, _headDim);                       // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, 1.0);
        Tensor output = _outProj.Call(mixed.flatten(2));                                        // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
