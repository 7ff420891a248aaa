using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a GPT-J.</summary>
/// <param name="RotaryDim">The dimensions of a head that positions rotate.</param>
/// <remarks>transformers/models/gptj/configuration_gptj.py</remarks>
public sealed record GPTJConfig(
    int VocabSize, int MaxPositions, int HiddenSize, int NumLayers, int NumHeads, int IntermediateSize, int RotaryDim,
    double NormEps, bool TieWordEmbeddings, double EmbeddingDropout, double AttentionDropout, double ResidualDropout)
{
    public int HeadDim => HiddenSize / NumHeads;

    public static GPTJConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("n_embd", 4096), numHeads = json.Size("n_head", 16);
        if (hiddenSize % numHeads != 0)
            throw json.InvalidValue("n_embd", $"must be a multiple of n_head, {numHeads}", $"{hiddenSize}");
        if (json.IsNull("rotary_dim")) throw json.InvalidValue("rotary_dim", "must be the width of a head's part that is rotated", "null");
        int rotaryDim = json.Size("rotary_dim", 64);
        if (rotaryDim > hiddenSize / numHeads || rotaryDim % 2 != 0)
            throw json.InvalidValue("rotary_dim", $"must be even and at most the width of a head, {hiddenSize / numHeads}", $"{rotaryDim}");
        return new GPTJConfig(json.Size("vocab_size", 50400), json.Size("n_positions", 2048), hiddenSize,
            json.Size("n_layer", 28), numHeads, json.Size("n_inner", 4 * hiddenSize), rotaryDim,
            json.Real("layer_norm_epsilon", 1e-5), json.Flag("tie_word_embeddings", false),
            json.Real("embd_pdrop", 0.0), json.Real("attn_pdrop", 0.0), json.Real("resid_pdrop", 0.0));
    }
}

/// <summary>
/// GPT-J: attention and mlp in parallel after one norm; positions rotate neighbouring dimensions in pairs, where Llama pairs the two
/// halves of a head.
/// </summary>
/// <remarks>transformers/models/gptj/modeling_gptj.py; Wang and Komatsuzaki, 2021</remarks>
[Architecture("GPTJForCausalLM", ModelType = "gptj")]
public sealed class GPTJForCausalLM : DecoderForCausalLM
{
    public GPTJForCausalLM(ConfigReader json) : this(GPTJConfig.Read(json), json) { }

    private GPTJForCausalLM(GPTJConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "mlp",
        },
        new GPTJModel(config, json, "GPTJ", layer => new GPTJAttention(config, layer)), config.HiddenSize, config.TieWordEmbeddings,
        bias: true) { }

    /// <summary>The sines and cosines are a table in Hugging Face's code.</summary>
    public override bool HasPositionTable => true;

    /// <summary>The causal masks that older checkpoints carry.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".attn.bias"];
}

[SharedLayer]
public sealed partial class GPTJModel : BaseModel
{
    private readonly Embedding _wte;
    private readonly Dropout _drop;
    private readonly ModuleList<GPTJBlock> _h;
    private readonly LayerNorm _lnF;

    /// <param name="family">The prefix of the class names: "GPTJ".</param>
    /// <param name="createAttention">Creates the attention of a layer from its index.</param>
    internal GPTJModel(GPTJConfig config, ConfigReader json, string family, Func<int, AdjacentRotaryAttention> createAttention)
    {
        ClassName = $"{family}Model";
        _wte = Child("wte", new Embedding(config.VocabSize, config.HiddenSize));
        _drop = Child("drop", new Dropout(config.EmbeddingDropout));
        _h = Child("h", new ModuleList<GPTJBlock>(config.NumLayers, layer =>
            new GPTJBlock(config, json, family, createAttention(layer))));
        _lnF = Child("ln_f", new LayerNorm(config.HiddenSize, config.NormEps));
    }

    public override string ClassName { get; }

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
        Tensor hidden = _drop.Call(_wte.Call(inputIds));                                            // [batch, seq, hidden]
        Tensor mask = AttentionMask.Causal(attentionMask, inputIds.size(1), hidden.dtype);          // [batch, 1, seq, kvSeq]
        for (int layer = 0; layer < _h.Count; layer++)
            hidden = (Tensor)_h[layer].Call(hidden, cache, mask, positionIds)[0]!;                  // [batch, seq, hidden]
        hidden = _lnF.Call(hidden);                                                                 // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}

[SharedLayer]
public sealed partial class GPTJBlock : SiteModule
{
    private readonly bool _returnsProbabilities;
    private readonly LayerNorm _ln1;
    private readonly AdjacentRotaryAttention _attn;
    private readonly Mlp _mlp;

    internal GPTJBlock(GPTJConfig config, ConfigReader json, string family, AdjacentRotaryAttention attention)
    {
        (ClassName, _returnsProbabilities) = ($"{family}Block", attention is CodeGenAttention);
        _ln1 = Child("ln_1", new LayerNorm(config.HiddenSize, config.NormEps));
        _attn = Child("attn", attention);
        _mlp = Child("mlp", new Mlp($"{family}MLP",
            ("fc_in", new Linear(config.HiddenSize, config.IntermediateSize)),
            ("fc_out", new Linear(config.IntermediateSize, config.HiddenSize)),
            ("act", Activation.Read(json, "activation_function", "gelu_new")),
            ("dropout", new Dropout(config.ResidualDropout))));
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Parallel("attn", "mlp");

    /// <returns>A tuple: hidden [batch, seq, hidden], and in CodeGen the probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
        [
            new("layer_past", cache), new("attention_mask", mask), new("position_ids", positionIds), new("use_cache", cache is not null),
        ]))
        : Forward(hidden, cache, mask, positionIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"));

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _ln1.Call(hidden);                                                      // [batch, seq, hidden]
        object?[] attention = _attn.Call(normal, cache, mask, positionIds);
        var attended = (Tensor)attention[0]!;                                                   // [batch, seq, hidden]
        Tensor output = attended + _mlp.Call(normal) + hidden;                                  // [batch, seq, hidden]
        object?[] result = [output.MoveToOuterDisposeScope()];
        if (_returnsProbabilities) result = [.. result, (attention.ElementAtOrDefault(1) as Tensor)?.MoveToOuterDisposeScope()];
        return result;
    }
}

/// <summary>Attention whose queries and keys are rotated in pairs of neighbouring dimensions, as a block calls it.</summary>
public abstract class AdjacentRotaryAttention : SiteModule
{
    public override Axes OutputAxes(int element) => element == 1 ? Axes.Attention : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], probabilities [batch, heads, seq, kvSeq].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([],
        [
            new("hidden_states", hidden), new("layer_past", cache), new("attention_mask", mask), new("position_ids", positionIds),
            new("use_cache", cache is not null),
        ]))
        : Forward(hidden, cache, mask, positionIds);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"),
        arguments.Get(1, "layer_past") as KeyValueCache,
        arguments.Tensor(2, "attention_mask"),
        arguments.Tensor(3, "position_ids"));

    private protected abstract object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds);
}

public sealed partial class GPTJAttention : AdjacentRotaryAttention
{
    private readonly int _layer, _heads, _headDim, _rotaryDim;
    private readonly Dropout _attnDropout, _residDropout;
    private readonly Linear _kProj, _vProj, _qProj, _outProj;

    internal GPTJAttention(GPTJConfig config, int layer)
    {
        (_layer, _heads, _headDim, _rotaryDim) = (layer, config.NumHeads, config.HeadDim, config.RotaryDim);
        _attnDropout = Child("attn_dropout", new Dropout(config.AttentionDropout, Axes.Attention));
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _qProj = Child("q_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Attention = Layouts.Separate(
        _heads, _heads, _headDim, "q_proj", "k_proj", "v_proj", "out_proj");

    private protected override object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), _heads, _headDim);            // [batch, heads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), _heads, _headDim);          // [batch, heads, seq, headDim]
        query = Rotate(query, positionIds, _rotaryDim);
        key = Rotate(key, positionIds, _rotaryDim);
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query.to(ScalarType.Float32), key.to(ScalarType.Float32)); // [batch, heads, seq, kvSeq]
        scores = scores / Math.Sqrt(_headDim) + mask;
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1).to(value.dtype);               // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", _attnDropout.Call(probabilities));
        Tensor mixed = EagerAttention.Mix(probabilities, value).transpose(1, 2).flatten(2);     // [batch, seq, hidden]
        Tensor output = _residDropout.Call(_outProj.Call(mixed));                               // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Rotates each pair of neighbouring dimensions in the rotated part by the angle of the position.</summary>
    /// <remarks>
    /// The result is float32 in half precision too, because Hugging Face's table of sines and cosines is float32, and its keys are cached
    /// like that.
    /// </remarks>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    [Operation("apply_rotary_pos_emb")]
    internal static Tensor Rotate(Tensor x, Tensor positionIds, int rotaryDim)
    {
        Tensor exponents = arange(0, rotaryDim, 2, ScalarType.Float32, x.device) / rotaryDim;      // [rotaryDim/2]
        Tensor inverse = 1.0 / pow(tensor(10000f, device: x.device), exponents);                 // [rotaryDim/2]
        Tensor angles = positionIds.unsqueeze(-1).to(ScalarType.Float32) * inverse;              // [batch, seq, rotaryDim/2]
        Tensor cosines = angles.cos().to(ScalarType.Float32).repeat_interleave(2, 2).unsqueeze(1);          // [batch, 1, seq, rotaryDim]
        Tensor sines = angles.sin().to(ScalarType.Float32).repeat_interleave(2, 2).unsqueeze(1);            // [batch, 1, seq, rotaryDim]
        Tensor part = x.narrow(-1, 0, rotaryDim);                                                 // [batch, heads, seq, rotaryDim]
        Tensor pairs = part.reshape(x.size(0), x.size(1), x.size(2), rotaryDim / 2, 2);           // [batch, heads, seq, rotaryDim/2, 2]
        Tensor rotatedHalf = stack([-pairs.select(4, 1), pairs.select(4, 0)], 4).flatten(3);         // [batch, heads, seq, rotaryDim]
        Tensor rotated = part * cosines + rotatedHalf * sines;                                        // [batch, heads, seq, rotaryDim]
        return cat([rotated, x.narrow(-1, rotaryDim, x.size(-1) - rotaryDim)], -1);                     // [batch, heads, seq, headDim]
    }
}
