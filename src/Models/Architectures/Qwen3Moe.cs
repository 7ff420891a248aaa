using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>What config.json says of a Qwen 3 with experts.</summary>
/// <param name="Window">A token sees itself and Window - 1 before it; null for all.</param>
/// <param name="Chosen">Experts that a token goes through.</param>
/// <param name="Normalize">The weights of the chosen experts add up to 1.</param>
/// <param name="SparseStep">Every so many-th layer has experts.</param>
/// <param name="DenseLayers">Layers without experts besides.</param>
/// <param name="Groups">Key and value heads; each serves Heads / Groups query heads.</param>
/// <remarks>transformers/models/qwen3_moe/configuration_qwen3_moe.py</remarks>
public sealed record Qwen3MoeConfig(int Vocabulary, int Positions, int Width, int Inner, int Layers, int Heads, int Groups, int HeadWidth,
    double Epsilon, RopeParameters Rope, bool AttentionBias,
    int Experts, int Chosen, bool Normalize, int ExpertInner, int SparseStep, IReadOnlyList<int> DenseLayers,
    bool Tied, int? Padding, int? Window)
{
    /// <summary>True for a layer with experts; the others have one mlp.</summary>
    public bool IsSparse(int layer) => (layer + 1) % SparseStep == 0 && !DenseLayers.Contains(layer);

    public static Qwen3MoeConfig Read(ConfigReader json)
    {
        int width = json.Size("hidden_size", 2048), heads = json.Size("num_attention_heads", 32);
        int groups = json.NumKvHeads(heads, 4);
        if (!json.Has("head_dim") && width % heads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_attention_heads, {heads}", $"{width}");
        return new Qwen3MoeConfig(json.Size("vocab_size", 151936), json.Size("max_position_embeddings", 32768), width,
            json.Size("intermediate_size", 6144), json.Size("num_hidden_layers", 24), heads, groups, json.Size("head_dim", width / heads),
            json.Real("rms_norm_eps", 1e-6), RopeParameters.Read(json), json.Flag("attention_bias", false),
            json.Size(json.Has("num_local_experts") ? "num_local_experts" : "num_experts", 128), json.Size("num_experts_per_tok", 8),
            json.Flag("norm_topk_prob", false), json.Size("moe_intermediate_size", 768),
            json.Size("decoder_sparse_step", 1), json.Ids("mlp_only_layers"),
            json.Flag("tie_word_embeddings", false), json.Has("pad_token_id") ? (int)json.Integer("pad_token_id") : null,
            json.Flag("use_sliding_window", false) && !json.IsNull("sliding_window") ? json.Size("sliding_window", 4096) : null);
    }
}

/// <summary>Qwen 3 with experts: in each layer several mlps, of which each token goes through a few.</summary>
/// <remarks>transformers/models/qwen3_moe/modeling_qwen3_moe.py; Yang et al., 2025</remarks>
[Architecture("Qwen3MoeForCausalLM", ModelType = "qwen3_moe")]
public sealed partial class Qwen3MoeForCausalLM : CausalLM
{
    private readonly Qwen3MoeModel _model;
    private readonly Linear _lmHead;

    public Qwen3MoeForCausalLM(ConfigReader json)
    {
        Qwen3MoeConfig config = Qwen3MoeConfig.Read(json);
        Config = new CausalLMConfig(config.Vocabulary, config.Positions, config.Layers);
        _model = Child("model", new Qwen3MoeModel(config, json));
        _lmHead = Child("lm_head", new Linear(config.Width, config.Vocabulary, bias: false, config.Tied ? _model.Embeddings : null));
    }

    public override StandardNames Names => new()
    {
        Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.norm", LmHead = "lm_head",
        Attention = "self_attn", Mlp = "mlp",
    };

    public override CausalLMConfig Config { get; }

    public override string BaseModelPrefix => "model";

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        ModelOutput output = _model.Call(inputIds, attentionMask, positionIds, cache);
        var hidden = (Tensor)output["last_hidden_state"]!;              // [batch, seq, hidden]
        Tensor logits = _lmHead.Call(Kept(hidden, logitsToKeep));       // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits), new("past_key_values", output["past_key_values"]));
    }
}

public sealed partial class Qwen3MoeModel : SiteModule
{
    private readonly int? _window;
    private readonly Embedding _embedTokens;
    private readonly ModuleList<Qwen3MoeDecoderLayer> _layers;
    private readonly RMSNorm _norm;
    private readonly RotaryEmbedding _rotaryEmb;

    internal Qwen3MoeModel(Qwen3MoeConfig config, ConfigReader json)
    {
        _window = config.Window;
        _embedTokens = Child("embed_tokens", new Embedding(config.Vocabulary, config.Width, config.Padding));
        _layers = Child("layers", new ModuleList<Qwen3MoeDecoderLayer>(config.Layers, layer => new Qwen3MoeDecoderLayer(config, json, layer)));
        _norm = Child("norm", new RMSNorm("Qwen3MoeRMSNorm", config.Width, config.Epsilon));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("Qwen3MoeRotaryEmbedding", new(json, config.Rope, config.HeadWidth)));
    }

    /// <summary>[vocab, hidden]</summary>
    internal Parameter Embeddings => _embedTokens.Table;

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, Axes.None, 1) : Axes.Hidden;

    public ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("past_key_values", cache), new("use_cache", cache is not null), new("output_router_logits", false),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype, _window); // [batch, 1, seq, kvSeq]
        object?[] positions = _rotaryEmb.Call(hidden, positionIds);                                 // 2 x [batch, seq, headDim]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class Qwen3MoeDecoderLayer : SiteModule
{
    private readonly Qwen3MoeAttention _selfAttn;
    private readonly TensorModule _mlp;
    private readonly RMSNorm _inputLayernorm, _postAttentionLayernorm;

    internal Qwen3MoeDecoderLayer(Qwen3MoeConfig config, ConfigReader json, int layer)
    {
        _selfAttn = Child("self_attn", new Qwen3MoeAttention(config, layer));
        _mlp = Child<TensorModule>("mlp", config.IsSparse(layer) ? new Qwen3MoeSparseMoeBlock(config, json)
            : new Qwen3MoeMLP(config, json, config.Inner));
        _inputLayernorm = Child("input_layernorm", new RMSNorm("Qwen3MoeRMSNorm", config.Width, config.Epsilon));
        _postAttentionLayernorm = Child("post_attention_layernorm", new RMSNorm("Qwen3MoeRMSNorm", config.Width, config.Epsilon));
    }

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [
                new("attention_mask", mask), new("position_ids", positionIds), new("past_key_values", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings), new("output_router_logits", false),
            ]))
            : Forward(hidden, mask, positionIds, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Tensor(2, "position_ids"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Tuple(5, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                               // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;     // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                          // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_postAttentionLayernorm.Call(middle));                   // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class Qwen3MoeAttention : SiteModule
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly double _scale;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly RMSNorm _qNorm, _kNorm;
    private readonly FusedAttention _fusedAttention;

    internal Qwen3MoeAttention(Qwen3MoeConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.Heads, config.Groups, config.HeadWidth);
        _scale = 1 / Math.Sqrt(_headDim);
        _qProj = Child("q_proj", new Linear(config.Width, _heads * _headDim, config.AttentionBias));
        _kProj = Child("k_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _vProj = Child("v_proj", new Linear(config.Width, _kvHeads * _headDim, config.AttentionBias));
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.Width, config.AttentionBias));
        _qNorm = Child("q_norm", new RMSNorm("Qwen3MoeRMSNorm", _headDim, config.Epsilon));
        _kNorm = Child("k_norm", new RMSNorm("Qwen3MoeRMSNorm", _headDim, config.Epsilon));
        _fusedAttention = new FusedAttention(this, layer, _heads, _kvHeads, _headDim, _scale) { Projections = [_qProj, _kProj, _vProj], OutputProjection = _oProj, QueryNorm = _qNorm, KeyNorm = _kNorm };
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings) =>
        Hook is { } observer
            ? CallHooked<object?[]>(observer, new Arguments([],
            [
                new("hidden_states", hidden), new("attention_mask", mask), new("position_ids", positionIds), new("past_key_values", cache),
                new("use_cache", cache is not null), new("position_embeddings", positionEmbeddings), new("output_router_logits", false),
            ]))
            : Forward(hidden, mask, cache, positionEmbeddings);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "attention_mask"),
        arguments.Get(3, "past_key_values") as KeyValueCache,
        arguments.Tuple(5, "position_embeddings"));

    private object?[] Forward(Tensor hidden, Tensor mask, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask, positionEmbeddings) is { } quick) return quick;
        using var scope = NewDisposeScope();
        (long rows, long tokens) = (hidden.size(0), hidden.size(1));
        Tensor query = _qNorm.Call(_qProj.Call(hidden).view(rows, tokens, _heads, _headDim)).transpose(1, 2); // [batch, heads, seq, headDim]
        Tensor key = _kNorm.Call(_kProj.Call(hidden).view(rows, tokens, _kvHeads, _headDim)).transpose(1, 2);  // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _kvHeads, _headDim);         // [batch, kvHeads, seq, headDim]
        query = RotaryEmbedding.Rotate(query, positionEmbeddings);
        key = RotaryEmbedding.Rotate(key, positionEmbeddings);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class Qwen3MoeMLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly FusedMlp _fusedMlp;
    private readonly Activation _actFn;

    internal Qwen3MoeMLP(Qwen3MoeConfig config, ConfigReader json, int inner)
    {
        _gateProj = Child("gate_proj", new Linear(config.Width, inner, bias: false));
        _upProj = Child("up_proj", new Linear(config.Width, inner, bias: false));
        _downProj = Child("down_proj", new Linear(inner, config.Width, bias: false));
        _actFn = Child("act_fn", Activation.Read(json, "hidden_act", "silu"));
        _fusedMlp = new FusedMlp(this, _gateProj, _upProj, _downProj, _actFn.Kind);
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } quick) return quick;
        using var scope = NewDisposeScope();
        Tensor gate = _actFn.Call(_gateProj.Call(input));                               // [batch, seq, intermediate]
        Tensor inner = gate * _upProj.Call(input);                                      // [batch, seq, intermediate]
        return _downProj.Call(inner).MoveToOuterDisposeScope();                         // [batch, seq, hidden]
    }
}

public sealed partial class Qwen3MoeSparseMoeBlock : TensorModule
{
    private readonly TopKRouter _gate;
    private readonly Experts _experts;

    internal Qwen3MoeSparseMoeBlock(Qwen3MoeConfig config, ConfigReader json)
    {
        _experts = Child("experts", new Experts("Qwen3MoeExperts", config.Experts, config.Width, config.ExpertInner,
            Activation.Read(json, "hidden_act", "silu"), ("gate_proj", "up_proj", "down_proj")));
        _gate = Child("gate", new TopKRouter("Qwen3MoeTopKRouter", config.Experts, config.Width, config.Chosen, config.Normalize, castsToModelType: true));
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        object?[] routing = _gate.Call(hidden);                                                     // logits, weights, chosen experts
        Tensor output = _experts.Call(hidden, (Tensor)routing[2]!, (Tensor)routing[1]!);            // [batch · seq, hidden]
        return output.view(input.shape).MoveToOuterDisposeScope();                                  // [batch, seq, hidden]
    }
}
