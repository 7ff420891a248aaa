using System.Globalization;
using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Llama 4, text only, or the text_config of a multimodal one.</summary>
/// <remarks>Llama4TextConfig in transformers/models/llama4/configuration_llama4.py</remarks>
public sealed record Llama4TextConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 202048, MaxPositions = 131072, HiddenSize = 5120, IntermediateSize = 8192, NumLayers = 48, NumHeads = 40, NumKvHeads = 8,
    HeadDim = 128, NormEps = 1e-5, RopeTheta = 500000,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", false);

    /// <summary>The size of the mlp of a layer without experts.</summary>
    public int IntermediateSizeMlp => Json.Size("intermediate_size_mlp", 16384);

    public int NumLocalExperts => Json.Size("num_local_experts", 16);

    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 1);

    public bool UseQkNorm => Json.Flag("use_qk_norm", true);

    /// <summary>The tokens of a chunk; a token of a layer with positions sees only those of its chunk.</summary>
    public int AttentionChunkSize => Json.Size("attention_chunk_size", 8192);

    /// <summary>Whether queries of layers without positions grow with their position.</summary>
    public bool AttnTemperatureTuning => Json.Flag("attn_temperature_tuning", true);

    public double FloorScale => Json.Real("floor_scale", 8192);

    public double AttnScale => Json.Real("attn_scale", 0.1);

    public bool IsSparse(int layer) => Json.Has("moe_layers") ? Json.Ids("moe_layers").Contains(layer)
        : (layer + 1) % Json.Size("interleave_moe_layer_step", 1) == 0;

    /// <summary>Whether positions rotate the queries and keys of a layer; an empty list counts as absent.</summary>
    public bool HasRotaryPositions(int layer) => Json.Ids("no_rope_layers") is { Count: > 0 } flags ? flags.ElementAtOrDefault(layer) != 0
        : (layer + 1) % Json.Size("no_rope_layer_interval", 4) != 0;

    /// <summary>Whether a layer attends to its chunk only: the layers with positions, if the file does not say.</summary>
    public bool IsChunked(int layer) => Json.Texts("layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "chunked_attention" : HasRotaryPositions(layer);

    internal DecoderDescription Describe() => new(this, "Llama4Text")
    {
        QkvBias = AttentionBias, OutputBias = AttentionBias, RotaryPairs = RotaryPairs.Complex, PassesPositionIdsByPosition = true,
        PassesPositionIdsToAttention = false, MlpName = "feed_forward", HasRotaryPositions = HasRotaryPositions,
        CreateAttention = (description, layer) => new Llama4TextAttention(this, description, layer),
        CreateLayer = (description, layer) => new Llama4TextDecoderLayer(this, description, layer),
    };
}

/// <summary>Llama 4, text only: chunked attention with rotary positions, and full attention without positions every few layers.</summary>
/// <remarks>transformers/models/llama4/modeling_llama4.py; Meta, Llama 4, 2025</remarks>
[Architecture("Llama4ForCausalLM", ModelType = "llama4_text")]
public sealed class Llama4ForCausalLM : DecoderForCausalLM
{
    private readonly bool _takesEmbeddings;

    public Llama4ForCausalLM(ConfigReader json) : this(new Llama4TextConfig(json)) { }

    internal Llama4ForCausalLM(Llama4TextConfig config, bool takesEmbeddings = false) :
        this(config, config.Describe() with { TakesEmbeddings = takesEmbeddings }) => _takesEmbeddings = takesEmbeddings;

    private Llama4ForCausalLM(Llama4TextConfig config, DecoderDescription description) :
        this(description, new Llama4TextModel(config, description)) { }

    private Llama4ForCausalLM(DecoderDescription description, Llama4TextModel model) : base(description, model) => Model = model;

    internal Llama4TextModel Model { get; }

    protected override string InputName => _takesEmbeddings ? "inputs_embeds" : "input_ids";
}

/// <summary>The text part of a multimodal Llama 4.</summary>
/// <remarks>Llama4ForConditionalGeneration in transformers/models/llama4/modeling_llama4.py</remarks>
[Architecture("Llama4ForConditionalGeneration", ModelType = "llama4")]
public sealed partial class Llama4ForConditionalGeneration : CausalLM
{
    private const string Prefix = "language_model";

    private readonly Llama4ForCausalLM _languageModel;
    private readonly Embedding _embedTokens; // of the language model

    public Llama4ForConditionalGeneration(ConfigReader json)
    {
        Llama4TextConfig config = new(MultimodalForConditionalGeneration.TextConfig(json));
        _languageModel = Child(Prefix, new Llama4ForCausalLM(config, takesEmbeddings: true));
        _embedTokens = _languageModel.Model.TokenEmbeddings;
    }

    public override StandardNames Names
    {
        get
        {
            StandardNames names = _languageModel.Names;
            (names.Embed, names.Layers) = ($"{Prefix}.{names.Embed}", $"{Prefix}.{names.Layers}");
            (names.FinalNorm, names.LmHead) = ($"{Prefix}.{names.FinalNorm}", $"{Prefix}.{names.LmHead}");
            return names;
        }
    }

    public override PreTrainedConfig Config => _languageModel.Config;

    public override string BaseModelPrefix => Prefix;

    public override IReadOnlyList<string> IgnoredPrefixes => ["vision_model.", "multi_modal_projector."];

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, int logitsToKeep)
    {
        using var scope = NewDisposeScope();
        Tensor embeddings = _embedTokens.Call(inputIds);                                            // [batch, seq, hidden]
        ModelOutput output = _languageModel.Call(embeddings, attentionMask, positionIds, cache, logitsToKeep);
        var logits = (Tensor)output["logits"]!;                                                     // [batch, seq kept, vocab]
        return new ModelOutput(new("logits", logits.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

/// <summary>A mask for the layers with chunks and one for the others.</summary>
public sealed partial class Llama4TextModel : DecoderModel
{
    private readonly int _chunkSize;
    private readonly bool[] _isChunked;

    internal Llama4TextModel(Llama4TextConfig config, DecoderDescription description) : base(description)
    {
        _chunkSize = config.AttentionChunkSize;
        _isChunked = [.. Enumerable.Range(0, config.NumLayers).Select(config.IsChunked)];
    }

    protected override ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1);
        Tensor hidden = inputIds;                                                                   // [batch, seq, hidden]
        if (!_takesEmbeddings) hidden = _embedTokens.Call(inputIds);                                // [batch, seq, hidden]
        Tensor full = AttentionMask.Causal(attentionMask, seqLen, hidden.dtype);                    // [batch, 1, seq, kvSeq]
        Tensor chunked = AttentionMask.Chunked(attentionMask, seqLen, hidden.dtype, _chunkSize);    // [batch, 1, seq, kvSeq]
        object?[] positions = _rotaryEmb!.Call(hidden, positionIds);                                // [batch, seq, headDim/2] complex64
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor mask = _isChunked[layer] ? chunked : full;                                      // [batch, 1, seq, kvSeq]
            hidden = (Tensor)_layers[layer].Call(hidden, mask, positionIds, cache, positions)[0]!;  // [batch, seq, hidden]
        }
        hidden = _norm.Call(hidden);                                                                // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class Llama4TextDecoderLayer : DecoderBlock
{
    private readonly DecoderAttention _selfAttn;
    private readonly SiteModule _feedForward;
    private readonly TensorModule _inputLayernorm, _postAttentionLayernorm;

    internal Llama4TextDecoderLayer(Llama4TextConfig config, DecoderDescription description, int layer) : base(description)
    {
        _selfAttn = Child("self_attn", description.CreateAttention(description, layer));
        _feedForward = Child("feed_forward", config.IsSparse(layer) ? (SiteModule)new Llama4TextMoe(config, description)
            : new Llama4TextMLP(config, config.IntermediateSizeMlp, description.CreateActivation()));
        _inputLayernorm = Child("input_layernorm", description.CreateNorm(config.HiddenSize));
        _postAttentionLayernorm = Child("post_attention_layernorm", description.CreateNorm(config.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("self_attn", "feed_forward");

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                       // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                                  // [batch, seq, hidden]
        normal = _postAttentionLayernorm.Call(middle);                                                      // [batch, seq, hidden]
        Tensor changed = _feedForward is Llama4TextMoe moe ? (Tensor)moe.Call(normal)[0]! : ((Llama4TextMLP)_feedForward).Call(normal);
        return [(middle + changed.view(middle.shape)).MoveToOuterDisposeScope()];                           // [batch, seq, hidden]
    }
}

/// <summary>
/// Attention in which layers with positions normalize each head of queries and keys after the rotation, and the queries of the others grow
/// with their position.
/// </summary>
public sealed partial class Llama4TextAttention : DecoderAttention
{
    private readonly bool _hasPositions, _scalesQueries;
    private readonly double _attnScale, _floorScale;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly Llama4TextL2Norm? _qkNorm;

    internal Llama4TextAttention(Llama4TextConfig config, DecoderDescription description, int layer) : base(description, layer)
    {
        _hasPositions = config.HasRotaryPositions(layer);
        _scalesQueries = config.AttnTemperatureTuning && !_hasPositions;
        (_attnScale, _floorScale) = (config.AttnScale, config.FloorScale);
        _qProj = Child("q_proj", new Linear(config.HiddenSize, NumHeads * HeadDim, description.QkvBias));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, config.HiddenSize, description.OutputBias));
        if (config.UseQkNorm && _hasPositions) _qkNorm = Child("qk_norm", new Llama4TextL2Norm(config.NormEps));
    }

    protected override bool PassesPositionIds => true;

    /// <summary>
    /// Hugging Face passes no position ids here and counts the slots of the cache, padding included. Positions are counted by the tokens
    /// that a token sees, so that padding does not change a row; a layer with chunks does not need them.
    /// </summary>
    protected override Tensor PositionIds(Arguments arguments)
    {
        Tensor mask = arguments.Tensor(1, "attention_mask");                                        // [batch, 1, seq, kvSeq]
        return ((mask == 0).sum(-1).squeeze(1) - 1).clamp_min(0);                                   // [batch, seq]
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), NumHeads, HeadDim);           // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), NumKvHeads, HeadDim);           // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), NumKvHeads, HeadDim);         // [batch, kvHeads, seq, headDim]
        if (_hasPositions) query = ComplexRotary.Rotate(query, (Tensor)positionEmbeddings[0]!);     // [batch, heads, seq, headDim]
        if (_hasPositions) key = ComplexRotary.Rotate(key, (Tensor)positionEmbeddings[0]!);         // [batch, kvHeads, seq, headDim]
        if (_qkNorm is not null) query = _qkNorm.Call(query.transpose(1, 2)).transpose(1, 2);       // [batch, heads, seq, headDim]
        if (_qkNorm is not null) key = _qkNorm.Call(key.transpose(1, 2)).transpose(1, 2);           // [batch, kvHeads, seq, headDim]
        if (_scalesQueries) query = query * Scales(positionIds, query.dtype);                       // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>1 + attnScale · ln(1 + floor((position + 1) / floorScale))</summary>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[batch, 1, seq, 1]</returns>
    private Tensor Scales(Tensor positionIds, ScalarType dtype)
    {
        Tensor steps = ((positionIds + 1).to(ScalarType.Float32) / _floorScale).floor();            // [batch, seq]
        return (log1p(steps) * _attnScale + 1).to(dtype).unsqueeze(1).unsqueeze(-1);
    }
}

/// <summary>x / sqrt(mean(x²) + eps) over the last dimension, without a weight.</summary>
public sealed partial class Llama4TextL2Norm : TensorModule
{
    private readonly double _epsilon;

    internal Llama4TextL2Norm(double epsilon) => _epsilon = epsilon;

    public override string ExtraRepr => $"eps={PythonNumberFormat.Format(_epsilon)}";

    /// <param name="input">[batch, seq, heads, headDim]</param>
    /// <returns>[batch, seq, heads, headDim]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor precise = input.to(ScalarType.Float32);                                              // [batch, seq, heads, headDim]
        Tensor variance = precise.square().mean([-1], keepdim: true);                               // [batch, seq, heads, 1]
        return (precise * rsqrt(variance + _epsilon)).to(input.dtype).MoveToOuterDisposeScope();    // [batch, seq, heads, headDim]
    }
}

public sealed partial class Llama4TextMLP : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly Activation _activationFn;
    private readonly CpuKernels.FusedMlp _fusedMlp;

    internal Llama4TextMLP(Llama4TextConfig config, int intermediateSize, Activation activation)
    {
        _gateProj = Child("gate_proj", new Linear(config.HiddenSize, intermediateSize, bias: false));
        _upProj = Child("up_proj", new Linear(config.HiddenSize, intermediateSize, bias: false));
        _downProj = Child("down_proj", new Linear(intermediateSize, config.HiddenSize, bias: false));
        _activationFn = Child("activation_fn", activation);
        _fusedMlp = new CpuKernels.FusedMlp(this, _gateProj, _upProj, _downProj, activation.Kind);
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj", "gate_proj");

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor gate = _activationFn.Call(_gateProj.Call(input));                                    // [..., intermediate]
        Tensor intermediate = gate * _upProj.Call(input);                                           // [..., intermediate]
        return _downProj.Call(intermediate).MoveToOuterDisposeScope();                              // [..., hidden]
    }
}

/// <summary>
/// Experts of which each reads its tokens multiplied by their scores, added to an mlp for all tokens. The score of an expert that is not
/// chosen is 0.
/// </summary>
public sealed partial class Llama4TextMoe : SiteModule
{
    private readonly Llama4TextExperts _experts;
    private readonly Llama4Router _router;
    private readonly Llama4TextMLP _sharedExpert;

    internal Llama4TextMoe(Llama4TextConfig config, DecoderDescription description)
    {
        _experts = Child("experts", new Llama4TextExperts(config, description.CreateActivation()));
        _router = Child("router", new Llama4Router(config));
        _sharedExpert = Child("shared_expert", new Llama4TextMLP(config, config.IntermediateSize, description.CreateActivation()));
        _sharedExpert.SetAxes(Axes.Flat);
    }

    public override Axes OutputAxes(int element) => Axes.Flat;

    /// <returns>A tuple: output [batch · seq, hidden], logits of the experts [batch · seq, experts].</returns>
    public object?[] Call(Tensor input) => Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(input)) : Forward(input);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    private object?[] Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        object?[] routing = _router.Call(hidden);
        Tensor scores = (Tensor)routing[0]!, logits = (Tensor)routing[1]!;                          // 2 x [batch · seq, experts]
        long numExperts = scores.size(1), numTokens = scores.size(0);
        Tensor routed = hidden.repeat(numExperts, 1) * scores.T.reshape(-1, 1);                     // [experts · batch · seq, hidden]
        Tensor outputs = _experts.Call(routed).view(numExperts, numTokens, hidden.size(1));         // [experts, batch · seq, hidden]
        Tensor output = _sharedExpert.Call(hidden) + outputs.sum([0L]);                              // [batch · seq, hidden]
        return [output.MoveToOuterDisposeScope(), logits.alias().MoveToOuterDisposeScope()];
    }
}

/// <summary>The experts with the highest logits, with the sigmoid of their logits as scores; the others have the score 0.</summary>
public sealed partial class Llama4Router : SiteModule, IRoutingSource
{
    private readonly int _topK;
    private readonly Parameter _weight; // [experts, hidden]

    internal Llama4Router(Llama4TextConfig config)
    {
        _topK = config.NumExpertsPerToken;
        _weight = Weight("weight", config.NumLocalExperts, config.HiddenSize);
        ExtraRepr = $"in_features={config.HiddenSize}, out_features={config.NumLocalExperts}, bias=False";
    }

    public override string ExtraRepr { get; }

    bool IRoutingSource.IsInOutput => true;

    /// <summary>The experts with a score.</summary>
    (Tensor Indices, Tensor Weights) IRoutingSource.RoutingOf(IReadOnlyList<object?> values)
    {
        (Tensor weights, Tensor indices) = ((Tensor)values[0]!).topk(_topK, -1);                    // 2 x [batch · seq, chosen]
        return (indices, weights);
    }

    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => Axes.Flat;

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <returns>A tuple: scores and logits, both [batch · seq, experts].</returns>
    public object?[] Call(Tensor hidden) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden)) : Forward(hidden);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    private object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value);                                // [batch · seq, experts]
        (Tensor best, Tensor chosen) = logits.topk(_topK, 1);                                       // 2 x [batch · seq, chosen]
        Tensor open = full_like(logits, double.NegativeInfinity).scatter(1, chosen, best);          // [batch · seq, experts]
        Tensor scores = open.to(ScalarType.Float32).sigmoid().to(logits.dtype);                     // [batch · seq, experts]
        return [scores.MoveToOuterDisposeScope(), logits.MoveToOuterDisposeScope()];
    }
}

/// <summary>down(activation(gate) · up) of each expert for its rows; all experts have the same number of rows.</summary>
public sealed partial class Llama4TextExperts : TensorModule, IFusedExperts
{
    private readonly int _numExperts, _hiddenSize;
    private readonly Parameter _gateUpProj; // [experts, hidden, 2 intermediate]
    private readonly Parameter _downProj;   // [experts, intermediate, hidden]
    private readonly Activation _actFn;
    private readonly Llama4TextExpert[] _experts;

    internal Llama4TextExperts(Llama4TextConfig config, Activation activation)
    {
        (_numExperts, _hiddenSize) = (config.NumLocalExperts, config.HiddenSize);
        _gateUpProj = LinearWeight("gate_up_proj", [_numExperts, _hiddenSize, 2 * config.IntermediateSize], inFeaturesDim: 1);
        _downProj = LinearWeight("down_proj", [_numExperts, config.IntermediateSize, _hiddenSize], inFeaturesDim: 1);
        _actFn = Child("act_fn", activation);
        Axes = Axes.Unknown; // experts and tokens in one dimension
        _actFn.SetAxes(Axes.Unknown);
        _experts = [.. Enumerable.Range(0, _numExperts).Select(i =>
            Child(i.ToString(CultureInfo.InvariantCulture), new Llama4TextExpert(i, _gateUpProj, _downProj, activation)))];
    }

    IEnumerable<SiteModule> IFusedExperts.FusedParts => [_actFn];

    SiteModule IFusedExperts.FusedForward => this;

    /// <param name="input">[experts · batch · seq, hidden]</param>
    /// <returns>[experts · batch · seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (TryCallExperts(input) is { } routed) return routed;
        using var scope = NewDisposeScope();
        Tensor rows = input.view(_numExperts, -1, _hiddenSize);                                     // [experts, batch · seq, hidden]
        Tensor[] gateAndUp = bmm(rows, _gateUpProj.Value).chunk(2, -1); // 2 x [experts, batch · seq, intermediate]
        Tensor intermediate = gateAndUp[1] * _actFn.Call(gateAndUp[0]);                             // [experts, batch · seq, intermediate]
        return bmm(intermediate, _downProj.Value).view(-1, _hiddenSize).MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Calls the experts one by one if a program uses one of them; otherwise null. The rows of a token that is not routed to an expert are
    /// zero, and so is their output.
    /// </summary>
    [FastPath]
    private Tensor? TryCallExperts(Tensor input)
    {
        if (!SiteHook.HasHooks(_experts[0].Index, _experts[^1].Index)) return null;
        using var scope = NewDisposeScope();
        Tensor rows = input.view(_numExperts, -1, _hiddenSize);                                     // [experts, batch · seq, hidden]
        bool isScan = input.device_type == TorchSharp.DeviceType.META;
        Tensor[] outputs = new Tensor[_numExperts];
        for (int i = 0; i < _numExperts; i++)
        {
            Tensor tokens = isScan ? arange(rows.size(1), ScalarType.Int64, input.device)
                : (rows[i] != 0).any(-1).nonzero().reshape(-1);                                     // [routed]
            Tensor own = isScan ? rows[i].clone() : rows[i].index_select(0, tokens);                // [routed, hidden]
            Tensor output = _experts[i].Call(own, tokens);                                          // [routed, hidden]
            outputs[i] = isScan ? output : zeros_like(rows[i]).index_copy(0, tokens, output);       // [batch · seq, hidden]
        }
        return cat(outputs, 0).MoveToOuterDisposeScope();
    }
}

/// <summary>The same with the weights of one expert. Its input is multiplied by the scores of the router already.</summary>
/// <param name="gateUpProj">[experts, hidden, 2 intermediate]</param>
/// <param name="downProj">[experts, intermediate, hidden]</param>
public sealed partial class Llama4TextExpert(int index, Parameter gateUpProj, Parameter downProj, Activation activation) :
    Expert("Llama4TextExpert", index, gateUpProj, downProj)
{
    /// <param name="input">[routed, hidden]</param>
    /// <returns>[routed, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor gateUpWeight = gateUpProj.Value[ExpertIndex], downWeight = downProj.Value[ExpertIndex];
        Tensor[] gateAndUp = matmul(input, gateUpWeight).chunk(2, -1);                              // 2 x [routed, intermediate]
        Tensor intermediate = gateAndUp[1] * activation.Apply(gateAndUp[0]);                        // [routed, intermediate]
        return matmul(intermediate, downWeight).MoveToOuterDisposeScope();                          // [routed, hidden]
    }
}
