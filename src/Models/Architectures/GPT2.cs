using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GPT-2.</summary>
/// <param name="Upcast">Scores are computed in float32 whatever the dtype.</param>
/// <remarks>transformers/models/gpt2/configuration_gpt2.py</remarks>
public sealed record GPT2Config(
    int VocabSize, int MaxPositions, int HiddenSize, int NumLayers, int NumHeads, int IntermediateSize, double NormEps,
    bool ScaleByWidth, bool ScaleByLayer, bool Upcast, bool TieWordEmbeddings, double EmbeddingDropout, double AttentionDropout,
    double ResidualDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static GPT2Config Read(ConfigReader json)
    {
        int hiddenSize = json.Size("n_embd", 768), numHeads = json.Size("n_head", 12);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("n_embd", $"must be a multiple of n_head, {numHeads}", $"{hiddenSize}");
        if (json.Flag("add_cross_attention", false))
            throw json.InvalidValue("add_cross_attention", "must be false: only decoders are supported", "true");
        return new GPT2Config(
            json.Size("vocab_size", 50257), json.Size("n_positions", 1024), hiddenSize, json.Size("n_layer", 12), numHeads,
            json.Size("n_inner", 4 * hiddenSize), json.Real("layer_norm_epsilon", 1e-5),
            json.Flag("scale_attn_weights", true), json.Flag("scale_attn_by_inverse_layer_idx", false),
            json.Flag("reorder_and_upcast_attn", false),
            json.Flag("tie_word_embeddings", true),
            json.Real("embd_pdrop", 0.1), json.Real("attn_pdrop", 0.1), json.Real("resid_pdrop", 0.1));
    }
}

/// <summary>GPT-2: learned positions, norms before attention and mlp, one matrix for queries, keys and values.</summary>
/// <remarks>transformers/models/gpt2/modeling_gpt2.py; Radford et al., 2019</remarks>
[Architecture("GPT2LMHeadModel", ModelType = "gpt2")]
public sealed class GPT2LMHeadModel : DecoderForCausalLM
{
    public GPT2LMHeadModel(ConfigReader json) : this(GPT2Config.Read(json), json) { }

    private GPT2LMHeadModel(GPT2Config config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "mlp",
        },
        new GPT2Model(config, json), config.HiddenSize, config.TieWordEmbeddings) { }

    public override bool HasPositionTable => true;

    /// <summary>The causal masks that checkpoints before transformers 4.31 carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".attn.bias"];

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class GPT2Model : BaseModel
{
    private readonly Embedding _wte, _wpe;
    private readonly Dropout _drop;
    private readonly ModuleList<GPT2Block> _h;
    private readonly LayerNorm _lnF;

    internal GPT2Model(GPT2Config config, ConfigReader json)
    {
        _wte = Child("wte", new Embedding(config.VocabSize, config.HiddenSize));
        _wpe = Child("wpe", new Embedding(config.MaxPositions, config.HiddenSize));
        _drop = Child("drop", new Dropout(config.EmbeddingDropout));
        _h = Child("h", new ModuleList<GPT2Block>(config.NumLayers, layer => new GPT2Block(config, json, layer)));
        _lnF = Child("ln_f", new LayerNorm(config.HiddenSize, config.NormEps));
    }

    internal override Parameter Embeddings => _wte.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("past_key_values", cache), new("attention_mask", attentionMask), new("position_ids", positionIds),
            new("use_cache", cache is not null),
        ]))
        : Forward(inputIds, cache, attentionMask, positionIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"));

    private ModelOutput Forward(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor inputsEmbeds = _wte.Call(inputIds);                                                        // [batch, seq, hidden]
        Tensor positionEmbeds = _wpe.Call(positionIds);                                                  // [batch, seq, hidden]
        Tensor hidden = _drop.Call(inputsEmbeds + positionEmbeds);                                             // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, cache, mask, positionIds)[0]!;                  // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class GPT2Block : SiteModule
{
    private readonly LayerNorm _ln1, _ln2;
    private readonly GPT2Attention _attn;
    private readonly Mlp _mlp;

    internal GPT2Block(GPT2Config config, ConfigReader json, int layer)
    {
        _ln1 = Child("ln_1", new LayerNorm(config.HiddenSize, config.NormEps));
        _attn = Child("attn", new GPT2Attention(config, layer));
        _ln2 = Child("ln_2", new LayerNorm(config.HiddenSize, config.NormEps));
        _mlp = Child("mlp", new Mlp("GPT2MLP",
            ("c_fc", new Conv1D(config.IntermediateSize, config.HiddenSize)),
            ("c_proj", new Conv1D(config.HiddenSize, config.IntermediateSize)),
            ("act", Activation.Read(json, "activation_function", "gelu_new")),
            ("dropout", new Dropout(config.ResidualDropout))));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("attn", "mlp");

    public override Axes InputAxes(string argument) => argument is "2" or "attention_mask" ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, cache, mask, null],
            [new("position_ids", positionIds), new("use_cache", cache is not null)]))
        : Forward(hidden, cache, mask, positionIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Get(4, "position_ids") as Tensor);

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor? positionIds)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attn.Call(_ln1.Call(hidden), cache, mask, positionIds)[0]!;     // [batch, seq, hidden]
        Tensor middle = attended + hidden;                                                      // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_ln2.Call(middle));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class GPT2Attention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly double _scale;
    private readonly bool _upcast;
    private readonly Conv1D _cAttn, _cProj;
    private readonly Dropout _residDropout;
    private readonly FusedAttention _fusedAttention;

    internal GPT2Attention(GPT2Config config, int layer)
    {
        (_layer, _heads, _headDim) = (layer, config.NumHeads, config.HeadDim);
        _scale = (config.ScaleByWidth ? 1 / Math.Sqrt(_headDim) : 1) / (config.ScaleByLayer ? layer + 1 : 1);
        _upcast = config.Upcast;
        _cAttn = Child("c_attn", new Conv1D(3 * config.HiddenSize, config.HiddenSize));
        _cProj = Child("c_proj", new Conv1D(config.HiddenSize, config.HiddenSize));
        Child("attn_dropout", new Dropout(config.AttentionDropout)); // Hugging Face's code does not call it either
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
        _fusedAttention = new FusedAttention(this, layer, _heads, _heads, _headDim, _scale)
        {
            Projections = [_cAttn], OutputProjection = _cProj, UpcastScores = _upcast,
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Joint(_heads, _heads, _headDim, "c_attn", "c_proj");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor? positionIds) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("past_key_values", cache), new("attention_mask", mask), new("position_ids", positionIds),
            new("use_cache", cache is not null),
        ]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "past_key_values") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor[] parts = _cAttn.Call(hidden).split(_heads * _headDim, 2);                 // 3 x [batch, seq, hidden]
        Tensor query = EagerAttention.SplitHeads(parts[0], _heads, _headDim);             // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(parts[1], _heads, _headDim);               // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(parts[2], _heads, _headDim);             // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale, precise: _upcast);
        Tensor output = _cProj.Call(mixed.view(hidden.shape));                          // [batch, seq, hidden]
        output = _residDropout.Call(output);
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
