using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GPT-Neo.</summary>
/// <param name="Local">For each layer: whether its tokens attend only to the tokens of a window.</param>
/// <remarks>transformers/models/gpt_neo/configuration_gpt_neo.py</remarks>
public sealed record GPTNeoConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int NumHeads, int IntermediateSize, int WindowSize, double NormEps,
    IReadOnlyList<bool> Local, bool TieWordEmbeddings, double EmbeddingDropout, double AttentionDropout, double ResidualDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public int NumLayers => Local.Count;

    public static GPTNeoConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 2048), numHeads = json.Size("num_heads", 16), numLayers = json.Size("num_layers", 24);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("hidden_size", $"must be a multiple of num_heads, {numHeads}", $"{hiddenSize}");
        IReadOnlyList<string> kinds = json.Texts("attention_layers");
        if (kinds.Count == 0)
            kinds = Repeated(json, numLayers) ?? [.. Enumerable.Range(0, numLayers).Select(layer => layer % 2 == 0 ? "global" : "local")];
        if (kinds.FirstOrDefault(kind => kind is not ("global" or "local")) is { } unknown)
            throw json.InvalidValue("attention_layers", "must have kinds that are known here (global, local)", $"`{unknown}`");
        if (kinds.Count != numLayers)
            throw json.InvalidValue("attention_layers", $"must have {numLayers} entries, as num_layers says", $"{kinds.Count}");
        return new GPTNeoConfig(json.Size("vocab_size", 50257), json.Size("max_position_embeddings", 2048), hiddenSize, numHeads,
            json.Size("intermediate_size", 4 * hiddenSize), json.Size("window_size", 256), json.Real("layer_norm_epsilon", 1e-5),
            [.. kinds.Select(kind => kind == "local")], json.Flag("tie_word_embeddings", true),
            json.Real("embed_dropout", 0.0), json.Real("attention_dropout", 0.0), json.Real("resid_dropout", 0.0));
    }

    /// <summary>attention_types: lists of kinds, each with how often it is repeated: [[["global", "local"], 12]]. Null if absent.</summary>
    private static List<string>? Repeated(ConfigReader json, int numLayers)
    {
        if (json.Raw("attention_types") is not { } types) return null;
        try
        {
            return [.. types.EnumerateArray().SelectMany(type =>
                Enumerable.Repeat(type[0].EnumerateArray().Select(kind => kind.GetString()!).ToArray(), type[1].GetInt32())
                    .SelectMany(k => k)).Take(numLayers + 1)]; // a few bytes can name billions
        }
        catch (Exception e) when (e is InvalidOperationException or IndexOutOfRangeException or ArgumentException or FormatException)
        {
            throw json.InvalidValue("attention_types", "must be lists of kinds, each with how often it is repeated", types.GetRawText());
        }
    }
}

/// <summary>GPT-Neo: a GPT-2 in which every other layer attends to a window, and scores are not scaled.</summary>
/// <remarks>transformers/models/gpt_neo/modeling_gpt_neo.py; Black et al., 2021</remarks>
[Architecture("GPTNeoForCausalLM", ModelType = "gpt_neo")]
public sealed class GPTNeoForCausalLM : DecoderForCausalLM
{
    public GPTNeoForCausalLM(ConfigReader json) : this(GPTNeoConfig.Read(json), json) { }

    private GPTNeoForCausalLM(GPTNeoConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "mlp",
        },
        new GPTNeoModel(config, json), config.HiddenSize, config.TieWordEmbeddings) { }

    public override bool HasPositionTable => true;

    /// <summary>The causal masks that older checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".attn.attention.bias"];

    internal override string TokenClassifierName => "classifier";
}

public sealed partial class GPTNeoModel : BaseModel
{
    private readonly Embedding _wte, _wpe;
    private readonly Dropout _drop;
    private readonly ModuleList<GPTNeoBlock> _h;
    private readonly LayerNorm _lnF;

    internal GPTNeoModel(GPTNeoConfig config, ConfigReader json)
    {
        _wte = Child("wte", new Embedding(config.VocabSize, config.HiddenSize));
        _wpe = Child("wpe", new Embedding(config.MaxPositions, config.HiddenSize));
        _drop = Child("drop", new Dropout(config.EmbeddingDropout));
        _h = Child("h", new ModuleList<GPTNeoBlock>(config.NumLayers, layer => new GPTNeoBlock(config, json, layer)));
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
        Tensor inputsEmbeds = _wte.Call(inputIds);                                                        // [batch, seq, hidden]
        Tensor positionEmbeds = _wpe.Call(positionIds);                                                  // [batch, seq, hidden]
        Tensor hidden = _drop.Call(inputsEmbeds + positionEmbeds);                                             // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, cache, mask)[0]!;                               // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

public sealed partial class GPTNeoBlock : SiteModule
{
    private readonly LayerNorm _ln1, _ln2;
    private readonly GPTNeoAttention _attn;
    private readonly Mlp _mlp;

    internal GPTNeoBlock(GPTNeoConfig config, ConfigReader json, int layer)
    {
        _ln1 = Child("ln_1", new LayerNorm(config.HiddenSize, config.NormEps));
        _attn = Child("attn", new GPTNeoAttention(config, layer));
        _ln2 = Child("ln_2", new LayerNorm(config.HiddenSize, config.NormEps));
        _mlp = Child("mlp", new Mlp("GPTNeoMLP",
            ("c_fc", new Linear(config.HiddenSize, config.IntermediateSize)),
            ("c_proj", new Linear(config.IntermediateSize, config.HiddenSize)),
            ("act", Activation.Read(json, "activation_function", "gelu_new")),
            ("dropout", new Dropout(config.ResidualDropout))));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("attn", "mlp");

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
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
        using var scope = NewDisposeScope();
        var attended = (Tensor)_attn.Call(_ln1.Call(hidden), cache, mask)[0]!;                  // [batch, seq, hidden]
        Tensor middle = attended + hidden;                                                      // [batch, seq, hidden]
        Tensor output = middle + _mlp.Call(_ln2.Call(middle));                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>A wrapper: the attention itself is its only child, whatever the layer's kind.</summary>
public sealed partial class GPTNeoAttention : SiteModule
{
    private readonly GPTNeoSelfAttention _attention;

    internal GPTNeoAttention(GPTNeoConfig config, int layer) =>
        _attention = Child("attention", new GPTNeoSelfAttention(config, layer));

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = _attention.CreateLayout();

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask) => _attention.Call(hidden, cache, mask);
}

public sealed partial class GPTNeoSelfAttention : SiteModule
{
    private readonly int _layer, _heads, _headDim;
    private readonly int? _window;
    private readonly Dropout _attnDropout, _residDropout;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;

    internal GPTNeoSelfAttention(GPTNeoConfig config, int layer)
    {
        (_layer, _heads, _headDim) = (layer, config.NumHeads, config.HeadDim);
        _window = config.Local[layer] ? config.WindowSize : null;
        _attnDropout = Child("attn_dropout", new Dropout(config.AttentionDropout, Axes.Attention));
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize));
    }

    /// <summary>The heads, with paths relative to the parent.</summary>
    internal Protocol.AttentionLayout CreateLayout() => Layouts.Separate(
        _heads, _heads, _headDim, "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj", _window);

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("layer_past", cache), new("attention_mask", mask), new("use_cache", cache is not null)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(2, "layer_past") as KeyValueCache,
        arguments.Tensor(1, "attention_mask"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query.to(ScalarType.Float32), key.to(ScalarType.Float32)); // [batch, heads, seq, kvSeq]
        if (_window is { } window) scores = scores.masked_fill(Outside(window, scores), finfo(ScalarType.Float32).min);
        scores = scores + mask;
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1).to(value.dtype);               // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", _attnDropout.Call(probabilities));
        Tensor mixed = EagerAttention.Mix(probabilities, value).transpose(1, 2).flatten(2);     // [batch, seq, hidden]
        Tensor output = _residDropout.Call(_outProj.Call(mixed));                               // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>True for keys before the window of a token: [seq, kvSeq].</summary>
    private static Tensor Outside(int window, Tensor scores)
    {
        long seqLen = scores.size(2), kvSeqLen = scores.size(3);
        Tensor key = arange(kvSeqLen, device: scores.device);                                       // [kvSeq]
        Tensor query = arange(kvSeqLen - seqLen, kvSeqLen, device: scores.device).unsqueeze(1);     // [seq, 1]
        return key <= query - window;
    }
}
