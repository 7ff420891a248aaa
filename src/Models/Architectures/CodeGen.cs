using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>CodeGen: a GPT-J with one projection for queries, values and keys, in four parts that were on four processors.</summary>
/// <remarks>
/// transformers/models/codegen/modeling_codegen.py and configuration_codegen.py; Nijkamp et al., CodeGen, 2022. Its config has the keys and
/// defaults of GPT-J's.
/// </remarks>
[Architecture("CodeGenForCausalLM", ModelType = "codegen")]
public sealed class CodeGenForCausalLM : DecoderForCausalLM
{
    public CodeGenForCausalLM(ConfigReader json) : this(GPTJConfig.Read(json), json) { }

    private CodeGenForCausalLM(GPTJConfig config, ConfigReader json) : base(
        new PreTrainedConfig(config.VocabSize, config.MaxPositions, config.NumLayers),
        new StandardNames
        {
            Embed = "transformer.wte", Layers = "transformer.h", FinalNorm = "transformer.ln_f", LmHead = "lm_head",
            Attention = "attn", Mlp = "mlp",
        },
        new GPTJModel(config, json, "CodeGen", layer => new CodeGenAttention(config, json, layer)), config.HiddenSize,
        config.TieWordEmbeddings, bias: true) { }

    /// <summary>The sines and cosines are a table in Hugging Face's code.</summary>
    public override bool HasPositionTable => true;
}

public sealed partial class CodeGenAttention : AdjacentRotaryAttention
{
    private const int Parts = 4;

    private readonly int _layer, _heads, _headDim, _rotaryDim;
    private readonly Dropout _attnDropout, _residDropout;
    private readonly Linear _qkvProj, _outProj;

    internal CodeGenAttention(GPTJConfig config, ConfigReader json, int layer)
    {
        if (config.NumHeads % Parts != 0)
            throw json.InvalidValue("n_head", $"must be a multiple of {Parts}, in which the projection is divided", $"{config.NumHeads}");
        (_layer, _heads, _headDim, _rotaryDim) = (layer, config.NumHeads, config.HeadDim, config.RotaryDim);
        _attnDropout = Child("attn_dropout", new Dropout(config.AttentionDropout, Axes.Attention));
        _residDropout = Child("resid_dropout", new Dropout(config.ResidualDropout));
        _qkvProj = Child("qkv_proj", new Linear(config.HiddenSize, 3 * config.HiddenSize, bias: false));
        _outProj = Child("out_proj", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
    }

    /// <summary>In each part of the projection: queries, values, keys.</summary>
    protected internal override void DescribeLayout(Protocol.ModuleInfo info)
    {
        int size = _heads / Parts * _headDim;
        info.Attention = new()
        {
            Heads = (uint)_heads, KvHeads = (uint)_heads, HeadDim = (uint)_headDim, Output = "out_proj",
            Query = Layouts.Heads("qkv_proj", Parts), Value = Layouts.Heads("qkv_proj", Parts, size),
            Key = Layouts.Heads("qkv_proj", Parts, 2 * size),
        };
    }

    private protected override object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor mask, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        var (query, key, value) = Split(_qkvProj.Call(hidden));
        query = GPTJAttention.Rotate(query, positionIds, _rotaryDim);
        key = GPTJAttention.Rotate(key, positionIds, _rotaryDim).to(hidden.dtype); // in float32 until here, as in GPT-J
        if (cache is not null) (key, value) = cache.Update(_layer, key, value);
        (query, key, value) = (SourceLabel.Of("q", query), SourceLabel.Of("k", key), SourceLabel.Of("v", value));
        Tensor scores = EagerAttention.Scores(query.to(ScalarType.Float32), key.to(ScalarType.Float32)); // [batch, heads, seq, kvSeq]
        scores = (scores + mask) / Math.Sqrt(_headDim);
        scores = SourceLabel.Of("scores", scores);
        Tensor probabilities = nn.functional.softmax(scores, -1).to(value.dtype);               // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", _attnDropout.Call(probabilities));
        Tensor mixed = EagerAttention.Mix(probabilities, value).transpose(1, 2).flatten(2);     // [batch, seq, hidden]
        Tensor output = _residDropout.Call(_outProj.Call(mixed));                               // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Each part has the queries of a quarter of the heads, then their values, then their keys.</summary>
    /// <param name="mixture">[batch, seq, 3 hidden]</param>
    /// <returns>3 x [batch, heads, seq, headDim]</returns>
    private (Tensor Query, Tensor Key, Tensor Value) Split(Tensor mixture)
    {
        // [batch, seq, parts, 3, heads/parts, headDim]
        Tensor split = mixture.view(mixture.size(0), mixture.size(1), Parts, 3, _heads / Parts, _headDim);
        Tensor query = split.select(3, 0).flatten(2, 3).transpose(1, 2);                        // [batch, heads, seq, headDim]
        Tensor value = split.select(3, 1).flatten(2, 3).transpose(1, 2);                        // [batch, heads, seq, headDim]
        Tensor key = split.select(3, 2).flatten(2, 3).transpose(1, 2);                          // [batch, heads, seq, headDim]
        return (query, key, value);
    }
}
