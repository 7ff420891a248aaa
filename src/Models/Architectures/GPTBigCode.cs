using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>GPT BigCode (SantaCoder, StarCoder): a GPT-2 whose heads share one key and one value.</summary>
/// <remarks>
/// transformers/models/gpt_bigcode/modeling_gpt_bigcode.py and configuration_gpt_bigcode.py; Allal et al., SantaCoder, 2023. Its config has
/// the keys and defaults of GPT-2's, and multi_query.
/// </remarks>
[Architecture("GPTBigCodeForCausalLM", ModelType = "gpt_bigcode")]
public sealed class GPTBigCodeForCausalLM : DecoderForCausalLM
{
    public GPTBigCodeForCausalLM(ConfigReader json) : this(GPT2Config.Read(json), json) { }

    private GPTBigCodeForCausalLM(GPT2Config config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "mlp",
        },
        new GPTBigCodeModel(config, json), config.HiddenSize, config.TieWordEmbeddings) { }

    public override bool HasPositionTable => true;

    /// <summary>The causal mask that older checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => ["transformer.bias", ".attn.bias"];

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class GPTBigCodeModel : BaseModel
{
    private readonly Embedding _wte, _wpe;
    private readonly Dropout _drop;
    private readonly ModuleList<GPTBigCodeBlock> _h;
    private readonly LayerNorm _lnF;

    internal GPTBigCodeModel(GPT2Config config, ConfigReader json)
    {
        _wte = Child("wte", new Embedding(config.VocabSize, config.HiddenSize));
        _wpe = Child("wpe", new Embedding(config.MaxPositions, config.HiddenSize));
        _drop = Child("drop", new Dropout(config.EmbeddingDropout));
        _h = Child("h", new ModuleList<GPTBigCodeBlock>(config.NumLayers, layer => new GPTBigCodeBlock(config, json, layer)));
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
        arguments.Tensor(4, "position_ids"));

    private ModelOutput Forward(Tensor inputIds, KeyValueCache? cache, Tensor attentionMask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor inputsEmbeds = _wte.Call(inputIds);                                                  // [batch, seq, hidden]
        Tensor positionEmbeds = _wpe.Call(positionIds);                                             // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), inputsEmbeds.dtype);    // [batch, 1, seq, kvSeq]
        Tensor hidden = _drop.Call(inputsEmbeds + positionEmbeds);                                  // [batch, seq, hidden]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, cache, mask)[0]!;                               // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class GPTBigCodeBlock : SiteModule
{
    private readonly LayerNorm _ln1, _ln2;
    private readonly GPTBigCodeAttention _attn;
    private readonly Mlp _mlp;

    internal GPTBigCodeBlock(GPT2Config config, ConfigReader json, int layer)
    {
        _ln1 = Child("ln_1", new LayerNorm(config.HiddenSize, config.NormEps));
        _attn = Child("attn", new GPTBigCodeAttention(config, json.Flag("multi_query", true), layer));
        _ln2 = Child("ln_2", new LayerNorm(config.HiddenSize, config.NormEps));
        _mlp = Child("mlp", new Mlp("GPTBigCodeMLP",
            ("c_fc", new Linear(config.HiddenSize, config.IntermediateSize)),
            ("c_proj", new Linear(config.IntermediateSize, config.HiddenSize)),
            ("act", Activation.Read(json, "activation_function", "gelu_pytorch_tanh")),
            ("dropout", new Dropout(config.ResidualDropout))));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("attn", "mlp");

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden, null],
            [new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(2, "layer_past") as KeyValueCache,
        arguments.Tensor(3, "attention_mask"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask)
    {
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attn.Call(_ln1.Call(hidden), cache, mask)[0]!;                  // [batch, seq, hidden]
        Tensor middle = attended + hidden;                                                      // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_ln2.Call(middle));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

public sealed partial class GPTBigCodeAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly bool _isMultiQuery;
    private readonly double _scale;
    private readonly Linear _cAttn, _cProj;
    private readonly Dropout _residDropout;
    private readonly FusedAttention _fusedAttention;

    internal GPTBigCodeAttention(GPT2Config config, bool isMultiQuery, int layer)
    {
        (_layer, _heads, _headDim, _isMultiQuery) = (layer, config.NumHeads, config.HeadDim, isMultiQuery);
        _scale = config.ScaleByWidth ? 1 / Math.Sqrt(_headDim) : 1;
        int kvHeads = isMultiQuery ? 1 : _heads;
        _cAttn = Child("c_attn", new Linear(config.HiddenSize, (_heads + 2 * kvHeads) * _headDim));
        _cProj = Child("c_proj", new Linear(config.HiddenSize, config.HiddenSize));
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
        _fusedAttention = new FusedAttention(this, layer, _heads, kvHeads, _headDim, _scale)
        {
            Projections = [_cAttn], OutputProjection = _cProj,
            Layout = isMultiQuery ? QkvLayout.Separate(_heads, 1, _headDim) : QkvLayout.InterleavedPerHead(_heads, _headDim),
        };
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = _isMultiQuery
        ? Layouts.Joint(_heads, 1, _headDim, "c_attn", "c_proj")
        : Layouts.PerKvHead(_heads, _heads, _headDim, "c_attn", "c_proj");

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask)
    {
        if (_fusedAttention.TryForward(hidden, cache, mask) is { } fused) return fused;
        using var scope = NewDisposeScope();
        var (query, key, value) = Split(_cAttn.Call(hidden));
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, _scale);
        Tensor output = _cProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        output = _residDropout.Call(output);
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>All queries, the key and the value; or, where each head has its own, query, key and value of a head side by side.</summary>
    /// <param name="mixture">[batch, seq, (heads + 2 kvHeads) · headDim]</param>
    /// <returns>Queries [batch, heads, seq, headDim]; keys and values [batch, kvHeads, seq, headDim].</returns>
    private (Tensor Query, Tensor Key, Tensor Value) Split(Tensor mixture)
    {
        if (_isMultiQuery)
        {
            Tensor[] all = mixture.split([_heads * _headDim, _headDim, _headDim], 2);           // 3 x [batch, seq, ...]
            return (EagerAttention.SplitHeads(all[0], _heads, _headDim), all[1].unsqueeze(1), all[2].unsqueeze(1));
        }
        Tensor[] parts = EagerAttention.SplitHeads(mixture, _heads, 3 * _headDim).chunk(3, -1);  // 3 x [batch, heads, seq, headDim]
        return (parts[0], parts[1], parts[2]);
    }
}
