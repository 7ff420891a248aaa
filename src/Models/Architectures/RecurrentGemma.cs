using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Models.Layers.StateSpace;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a RecurrentGemma.</summary>
/// <remarks>transformers/models/recurrent_gemma/configuration_recurrent_gemma.py</remarks>
public sealed record RecurrentGemmaConfig : DecoderConfig
{
    public RecurrentGemmaConfig(ConfigReader json) : base(json, new()
    {
        VocabSize = 256000, MaxPositions = int.MaxValue, HiddenSize = 2560, IntermediateSize = 7680, NumLayers = 26, NumHeads = 10,
        PartialRotaryFactor = 0.5, TieWordEmbeddings = true, PadTokenId = 0,
    })
    {
        if (RopeParameters.RopeType != "default")
            throw json.InvalidValue("rope_parameters", "must have the type default", $"`{RopeParameters.RopeType}`");
        if (LruWidth % NumHeads != 0)
            throw json.InvalidValue("lru_width", $"must be a multiple of num_attention_heads, {NumHeads}", $"{LruWidth}");
    }

    /// <summary>The width of the recurrence.</summary>
    public int LruWidth => Json.Size("lru_width", HiddenSize);

    /// <summary>A token attends to itself and the Window - 1 tokens before it.</summary>
    public int Window => Json.Size("attention_window_size", 2048);

    public int ConvKernel => Json.Size("conv1d_width", 4);

    /// <summary>Whether a layer has attention; the others have a recurrence.</summary>
    public bool IsAttention(int layer)
    {
        IReadOnlyList<string> types = Json.Texts("block_types") is { Count: > 0 } given ? given : ["recurrent", "recurrent", "attention"];
        return types[layer % types.Count] switch
        {
            "attention" => true,
            "recurrent" => false,
            string other =>
                throw Json.InvalidValue("block_types", "must have types that are known here (recurrent, attention)", $"`{other}`"),
        };
    }
}

/// <summary>RecurrentGemma (Griffin): gated linear recurrences, and attention to a window in each third layer.</summary>
/// <remarks>
/// transformers/models/recurrent_gemma/modeling_recurrent_gemma.py; De et al., Griffin, 2024. There, a recurrence sees the padding and
/// keeps its state in the module; here, a padded row has what it has alone, and states are in the cache.
/// </remarks>
[Architecture("RecurrentGemmaForCausalLM", ModelType = "recurrent_gemma")]
public sealed class RecurrentGemmaForCausalLM : DecoderForCausalLM
{
    public RecurrentGemmaForCausalLM(ConfigReader json) : this(new RecurrentGemmaConfig(json)) { }

    private RecurrentGemmaForCausalLM(RecurrentGemmaConfig config) : base(
        new DecoderDescription(config, "RecurrentGemma") { LogitSoftCap = config.Json.Real("logits_soft_cap", 30) },
        new StandardNames
        {
            Embed = "model.embed_tokens", Layers = "model.layers", FinalNorm = "model.final_norm", LmHead = "lm_head",
            Attention = "temporal_block", Mlp = "mlp_block",
        },
        new RecurrentGemmaModel(config)) { }

    public override bool HasStatesBesideKeys => true;
}

public sealed partial class RecurrentGemmaModel : BaseModel
{
    private readonly int _hiddenSize, _window;
    private readonly Embedding _embedTokens;
    private readonly ModuleList<RecurrentGemmaDecoderLayer> _layers;
    private readonly RMSNorm _finalNorm;

    internal RecurrentGemmaModel(RecurrentGemmaConfig config)
    {
        (_hiddenSize, _window) = (config.HiddenSize, config.Window);
        _embedTokens = Child("embed_tokens", new Embedding(config.VocabSize, config.HiddenSize, config.PadTokenId));
        _layers = Child("layers",
            new ModuleList<RecurrentGemmaDecoderLayer>(config.NumLayers, layer => new RecurrentGemmaDecoderLayer(config, layer)));
        _finalNorm = Child("final_norm", CreateNorm(config));
    }

    internal override Parameter Embeddings => _embedTokens.Table;

    internal static RMSNorm CreateNorm(RecurrentGemmaConfig config) =>
        new("RecurrentGemmaRMSNorm", config.HiddenSize, config.NormEps, NormKind.RmsUnitOffset);

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([],
        [
            new("input_ids", inputIds), new("position_ids", positionIds), new("attention_mask", attentionMask),
            new("use_cache", cache is not null), new("past_key_values", cache),
        ]))
        : Forward(inputIds, attentionMask, positionIds, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(1, "position_ids"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embedTokens.Call(inputIds);                                                // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype, _window); // [batch, 1, seq, kvSeq]
        Tensor scale = tensor((float)Math.Sqrt(_hiddenSize), ScalarType.BFloat16, hidden.device);   // []
        hidden = hidden * scale.to(hidden.dtype);                                                   // [batch, seq, hidden]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, positionIds, mask, cache)[0]!;             // [batch, seq, hidden]
        hidden = _finalNorm.Call(hidden);                                                           // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class RecurrentGemmaDecoderLayer : SiteModule
{
    private readonly RMSNorm _temporalPreNorm, _channelPreNorm;
    private readonly RecurrentGemmaTemporalBlock _temporalBlock;
    private readonly GatedMlp _mlpBlock;

    internal RecurrentGemmaDecoderLayer(RecurrentGemmaConfig config, int layer)
    {
        Activation activation = Activation.Read(config.Json, "hidden_activation", "gelu_pytorch_tanh");
        _temporalPreNorm = Child("temporal_pre_norm", RecurrentGemmaModel.CreateNorm(config));
        _temporalBlock = Child<RecurrentGemmaTemporalBlock>("temporal_block", config.IsAttention(layer)
            ? new RecurrentGemmaSdpaAttention(config, layer) : new RecurrentGemmaRecurrentBlock(config, layer));
        _channelPreNorm = Child("channel_pre_norm", RecurrentGemmaModel.CreateNorm(config));
        _mlpBlock = Child("mlp_block",
            new GatedMlp("RecurrentGemmaMlp", config.HiddenSize, config.IntermediateSize / 2, activation, bias: true));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("temporal_block", "mlp_block");

    public override Axes InputAxes(string argument) => argument is "2" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments(hidden, positionIds, mask, cache is not null, cache))
        : Forward(hidden, positionIds, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "activations"),
        arguments.Tensor(1, "position_ids"),
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private object?[] Forward(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _temporalPreNorm.Call(hidden);                                              // [batch, seq, hidden]
        Tensor middle = _temporalBlock.Call(normal, positionIds, mask, cache) + hidden;             // [batch, seq, hidden]
        Tensor output = _mlpBlock.Call(_channelPreNorm.Call(middle)) + middle;                      // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>The part of a layer that mixes tokens: attention or a recurrence.</summary>
public abstract class RecurrentGemmaTemporalBlock : SiteModule
{
    public override bool ReturnsTensor => true;

    public override Axes InputAxes(string argument) => argument is "2" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments([hidden, positionIds, mask],
            [new("use_cache", cache is not null), new("past_key_values", cache)]))
        : Forward(hidden, positionIds, mask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Tensor(1, "position_ids"),
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(4, "past_key_values") as KeyValueCache);

    private protected abstract Tensor Forward(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache);
}

/// <summary>Attention to a window; positions rotate a half of each head.</summary>
public sealed partial class RecurrentGemmaSdpaAttention : RecurrentGemmaTemporalBlock
{
    private readonly int _layer, _heads, _kvHeads, _headDim;
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly RotaryEmbedding _rotaryEmb;

    internal RecurrentGemmaSdpaAttention(RecurrentGemmaConfig config, int layer)
    {
        (_layer, _heads, _kvHeads, _headDim) = (layer, config.NumHeads, config.NumKvHeads, config.HeadDim);
        bool bias = config.Json.Flag("attention_bias", false);
        _qProj = Child("q_proj", new Linear(config.HiddenSize, _heads * _headDim, bias));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, _kvHeads * _headDim, bias));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, _kvHeads * _headDim, bias));
        _oProj = Child("o_proj", new Linear(_heads * _headDim, config.HiddenSize));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbedding("RecurrentGemmaRotaryEmbedding",
            new(config.Json, config.RopeParameters, config.RotaryDim), passesPositionIdsByPosition: true, inputAxes: new Axes(0, 2)));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(_heads, _kvHeads, _headDim, "q_proj", "k_proj", "v_proj", "o_proj");

    private protected override Tensor Forward(Tensor hidden, Tensor positionIds, Tensor mask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _kvHeads, _headDim);            // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _kvHeads, _headDim);          // [batch, kvHeads, seq, headDim]
        object?[] positions = _rotaryEmb.Call(value, positionIds);                                  // 2 x [batch, seq, rotaryDim]
        query = PartialRotary.Rotate(query, positions);
        key = PartialRotary.Rotate(key, positions);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, _) = EagerAttention.Forward(query, key, value, mask, 1 / Math.Sqrt(_headDim));
        return _oProj.Call(mixed.flatten(2)).MoveToOuterDisposeScope();                             // [batch, seq, hidden]
    }
}
