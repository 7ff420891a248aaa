using System.Text.Json;
using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an MPT.</summary>
/// <param name="MaxPositions">The keys for which Hugging Face's code prepares biases; here there may be more.</param>
/// <param name="DropoutText">attn_pdrop as the file has it, which is only printed.</param>
/// <param name="ClipQkv">Queries, keys and values are limited to [-ClipQkv, ClipQkv]; null for no limit.</param>
/// <remarks>
/// transformers/models/mpt/configuration_mpt.py. The model ignores alibi_bias_max, qk_ln, logit_scale and expansion_ratio, and so does this
/// one.
/// </remarks>
public sealed record MptConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int NumLayers, int NumHeads, double NormEps, double? ClipQkv, double Scale,
    bool TieWordEmbeddings, string DropoutText)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static MptConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("d_model", 2048), numHeads = json.Size("n_heads", 16);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("d_model", $"must be a multiple of n_heads, {numHeads}", $"{hiddenSize}");
        ConfigReader? attention = json.Section("attn_config");
        if (attention?.Text("attn_type", "multihead_attention") is { } type and not "multihead_attention")
            throw attention.InvalidValue("attn_type", "must be multihead_attention", type);
        double clip = attention?.Real("clip_qkv", 0) ?? 0, scale = 1 / Math.Sqrt(hiddenSize / numHeads);
        return new MptConfig(json.Size("vocab_size", 50368), json.Size("max_seq_len", 2048), hiddenSize, json.Size("n_layers", 24),
            numHeads, json.Real("layer_norm_epsilon", 1e-5), clip == 0 ? null : clip, attention?.Real("softmax_scale", scale) ?? scale,
            json.Flag("tie_word_embeddings", true),
            attention?.Raw("attn_pdrop") is { ValueKind: JsonValueKind.Number } p ? p.GetRawText() : "0");
    }
}

/// <summary>MPT: ALiBi, as in BLOOM, and no biases in norms and linear layers.</summary>
/// <remarks>transformers/models/mpt/modeling_mpt.py; MosaicML, Introducing MPT-7B, 2023; Press et al., 2021</remarks>
[Architecture("MptForCausalLM", ModelType = "mpt")]
public sealed class MptForCausalLM : DecoderForCausalLM
{
    public MptForCausalLM(ConfigReader json) : this(MptConfig.Read(json)) { }

    private MptForCausalLM(MptConfig config) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.blocks", FinalNorm = "transformer.norm_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "ffn",
        },
        new MptModel(config), config.HiddenSize, config.TieWordEmbeddings) { }

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class MptModel : BaseModel
{
    private readonly int _maxPositions;
    private readonly float[] _slopes;
    private readonly Embedding _wte;
    private readonly ModuleList<MptBlock> _blocks;
    private readonly LayerNorm _normF;

    internal MptModel(MptConfig config)
    {
        (_maxPositions, _slopes) = (config.MaxPositions, Layers.Alibi.Slopes(config.NumHeads));
        _wte = Child("wte", new Embedding(config.VocabSize, config.HiddenSize));
        _blocks = Child("blocks", new ModuleList<MptBlock>(config.NumLayers, layer => new MptBlock(config, layer)));
        _normF = Child("norm_f", new LayerNorm(config.HiddenSize, config.NormEps, bias: false));
    }

    internal override Parameter Embeddings => _wte.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("past_key_values", cache), new("attention_mask", attentionMask), new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, cache, attentionMask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"));

    private ModelOutput Forward(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _wte.Call(inputIds);                                                        // [batch, seq, hidden]
        Tensor positionBias = Alibi(attentionMask);                                                 // [heads, 1, positions]
        Tensor causal = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);        // [batch, 1, seq, kvSeq]
        Tensor mask = causal.to(ScalarType.Bool);                                                   // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _blocks.Count; layer++)
            hidden = (Tensor)_blocks[layer].Call(hidden, cache, mask, positionBias)[0]!;            // [batch, seq, hidden]
        hidden = _normF.Call(hidden);                                                               // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>
    /// What is added to each key's scores: its distance from the last key, below zero, times the head's slope. Softmax makes the distance
    /// from the token itself of it.
    /// </summary>
    /// <param name="attentionMask">[batch, kvSeq]</param>
    /// <returns>[heads, 1, positions] float32, of which the last belong to the keys</returns>
    [Operation("build_mpt_alibi_tensor")]
    private Tensor Alibi(Tensor attentionMask)
    {
        long length = Math.Max(_maxPositions, attentionMask.size(1));
        Tensor distances = arange(1 - length, 1, ScalarType.Float32, attentionMask.device);         // [positions]
        return tensor(_slopes, device: attentionMask.device).view(-1, 1, 1) * distances;
    }
}

public sealed partial class MptBlock : SiteModule
{
    private readonly LayerNorm _norm1, _norm2;
    private readonly MptAttention _attn;
    private readonly MptMLP _ffn;
    private readonly Dropout _residAttnDropout;

    internal MptBlock(MptConfig config, int layer)
    {
        _norm1 = Child("norm_1", new LayerNorm(config.HiddenSize, config.NormEps, bias: false));
        _attn = Child("attn", new MptAttention(config, layer));
        _norm2 = Child("norm_2", new LayerNorm(config.HiddenSize, config.NormEps, bias: false));
        _ffn = Child("ffn", new MptMLP(config));
        _residAttnDropout = Child("resid_attn_dropout", new Dropout(config.DropoutText));
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("attn", "ffn.down_proj");

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "position_bias" => Axes.Shared,
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: hidden [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionBias) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null), new("position_bias", positionBias),
        ]))
        : Forward(hidden, cache, mask, positionBias);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(3, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(1, "position_bias"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionBias)
    {
        using var scope = NewDisposeScope();
        object?[] attention = _attn.Call(_norm1.Call(hidden), cache, mask, positionBias);
        var attended = (Tensor)attention[0]!;                                                           // [batch, seq, hidden]
        Tensor middle = _residAttnDropout.Call(attended) + hidden;                                      // [batch, seq, hidden]
        Tensor output = _ffn.Call(_norm2.Call(middle), middle);                                         // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), (attention.ElementAtOrDefault(1) as Tensor)?.MoveToOuterDisposeScope()];
    }
}

public sealed partial class MptAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly double _scale;
    private readonly double? _clip;
    private readonly Linear _wqkv, _outProj;

    internal MptAttention(MptConfig config, int layer)
    {
        (_layer, _heads, _headDim, _scale, _clip) = (layer, config.NumHeads, config.HeadDim, config.Scale, config.ClipQkv);
        _wqkv = Child("Wqkv", new Linear(config.HiddenSize, 3 * config.HiddenSize, bias: false));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Joint(_heads, _heads, _headDim, "Wqkv", "out_proj");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    public override Axes InputAxes(string argument) => argument switch
    {
        "attention_mask" => Axes.Attention,
        "position_bias" => Axes.Shared,
        _ => Axes.Hidden,
    };

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionBias) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("position_bias", positionBias), new("attention_mask", mask), new("past_key_values", cache)]))
        : Forward(hidden, cache, mask, positionBias);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(2, "past_key_values") as KeyValueCache,
        arguments.Tensor(3, "attention_mask"),
        arguments.Tensor(1, "position_bias"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionBias)
    {
        using var scope = NewDisposeScope();
        Tensor mixture = _wqkv.Call(hidden);                                                    // [batch, seq, 3 hidden]
        if (_clip is { } limit) mixture = mixture.clamp(-limit, limit);
        Tensor[] parts = mixture.chunk(3, -1);                                                  // 3 x [batch, seq, hidden]
        Tensor query = EagerAttention.SplitHeads(parts[0], _heads, _headDim);                   // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(parts[1], _heads, _headDim);                     // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(parts[2], _heads, _headDim);                   // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor bias = positionBias.narrow(2, positionBias.size(2) - key.size(2), key.size(2));  // [heads, 1, kvSeq]
        Tensor scores = EagerAttention.Scores(query, key) * _scale + bias;                      // [batch, heads, seq, kvSeq]
        scores = scores.masked_fill(mask, finfo(query.dtype).min);
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1, ScalarType.Float32).to(value.dtype); // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", probabilities);
        Tensor mixed = EagerAttention.Mix(probabilities, value).transpose(1, 2).flatten(2);     // [batch, seq, hidden]
        Tensor output = _outProj.Call(mixed);                                                   // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class MptMLP : SiteModule
{
    private readonly Linear _upProj, _downProj;
    private readonly Activation _act;

    internal MptMLP(MptConfig config)
    {
        _upProj = Child("up_proj", new Linear(config.HiddenSize, 4 * config.HiddenSize, bias: false));
        _act = Child("act", Activation.Gelu());
        _downProj = Child("down_proj", new Linear(4 * config.HiddenSize, config.HiddenSize, bias: false));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj");

    public override bool ReturnsTensor => true;

    /// <summary>Adds the residual too.</summary>
    /// <returns>[batch, seq, hidden]</returns>
    public Tensor Call(Tensor hidden, Tensor residual) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(hidden, residual))
        : Forward(hidden, residual);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"), arguments.Tensor(1, "residual"));

    private Tensor Forward(Tensor hidden, Tensor residual)
    {
        using var scope = NewDisposeScope();
        Tensor intermediate = _act.Call(_upProj.Call(hidden));                          // [batch, seq, 4 hidden]
        return (_downProj.Call(intermediate) + residual).MoveToOuterDisposeScope();     // [batch, seq, hidden]
    }
}
