using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a StableLM.</summary>
/// <remarks>transformers/models/stablelm/configuration_stablelm.py</remarks>
public sealed record StableLmConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 50304, MaxPositions = 4096, HiddenSize = 2560, IntermediateSize = 6912, NumLayers = 32, NumHeads = 32, NumKvHeads = 32,
    NormEpsKey = "layer_norm_eps", NormEps = 1e-5, PartialRotaryFactor = 0.25,
})
{
    public bool UseQkvBias => Json.Flag("use_qkv_bias", false);

    /// <summary>Each head of queries and keys has its own norm.</summary>
    public bool QkLayerNorm => Json.Flag("qk_layernorm", false);

    /// <summary>Attention and mlp both read the layer's first norm.</summary>
    public bool UseParallelResidual => Json.Flag("use_parallel_residual", false);

    public double HiddenDropout => Json.Real("hidden_dropout", 0.0);
}

/// <summary>StableLM: layer norms, and positions that rotate a part of each head only.</summary>
/// <remarks>transformers/models/stablelm/modeling_stablelm.py</remarks>
[Architecture("StableLmForCausalLM", ModelType = "stablelm")]
public sealed class StableLmForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new StableLmConfig(json)))
{
    private static DecoderDescription Describe(StableLmConfig config)
    {
        var description = new DecoderDescription(config, "StableLm")
        {
            Norm = NormKind.Layer, QkvBias = config.UseQkvBias, IsPartialRotary = true,
            LayerNorms = config.UseParallelResidual ? LayerNorms.Shared : LayerNorms.Before,
            ResidualDropouts = ("", "dropout", config.HiddenDropout),
        };
        return !config.QkLayerNorm ? description
            : description with { CreateAttention = static (d, layer) => new StableLmAttention(d, layer) };
    }
}

/// <summary>Attention with a norm for each head of queries and keys.</summary>
public sealed partial class StableLmAttention : DecoderAttention
{
    private readonly Linear _qProj, _kProj, _vProj, _oProj;
    private readonly StableLmLayerNormPerHead _qLayernorm, _kLayernorm;

    internal StableLmAttention(DecoderDescription description, int layer) : base(description, layer)
    {
        DecoderConfig config = description.Config;
        _qProj = Child("q_proj", new Linear(config.HiddenSize, NumHeads * HeadDim, description.QkvBias));
        _kProj = Child("k_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _vProj = Child("v_proj", new Linear(config.HiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, config.HiddenSize, bias: false));
        _qLayernorm = Child("q_layernorm", new StableLmLayerNormPerHead(HeadDim, NumHeads, config.NormEps));
        _kLayernorm = Child("k_layernorm", new StableLmLayerNormPerHead(HeadDim, NumKvHeads, config.NormEps));
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), NumHeads, HeadDim);           // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), NumKvHeads, HeadDim);           // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), NumKvHeads, HeadDim);         // [batch, kvHeads, seq, headDim]
        query = PartialRotary.Rotate(_qLayernorm.Call(query), positionEmbeddings);                  // [batch, heads, seq, headDim]
        key = PartialRotary.Rotate(_kLayernorm.Call(key), positionEmbeddings);                      // [batch, kvHeads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}

public sealed partial class StableLmLayerNormPerHead : TensorModule
{
    private readonly ModuleList<LayerNorm> _norms;

    internal StableLmLayerNormPerHead(int headDim, int numHeads, double epsilon) =>
        _norms = Child("norms", new ModuleList<LayerNorm>(numHeads, _ => new LayerNorm(headDim, epsilon, bias: false, axes: new(0, 2))));

    public override Axes OutputAxes(int element) => new(0, 2);

    public override Axes InputAxes(string argument) => new(0, 2);

    /// <param name="input">[batch, heads, seq, headDim]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor[] heads = input.split(1, 1);                                             // heads x [batch, 1, seq, headDim]
        for (int head = 0; head < heads.Length; head++) heads[head] = _norms[head].Call(heads[head]);
        return cat(heads, 1).MoveToOuterDisposeScope();                                 // [batch, heads, seq, headDim]
    }
}
