using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of Phi-3.</summary>
/// <remarks>transformers/models/phi3/configuration_phi3.py</remarks>
public sealed record Phi3Config : DecoderConfig
{
    public Phi3Config(ConfigReader json) : base(json, new()
    {
        VocabSize = 32064, MaxPositions = 4096, HiddenSize = 3072, IntermediateSize = 8192, NumLayers = 32, NumHeads = 32, NormEps = 1e-5,
        PadTokenId = 32000,
    })
    {
        // older files call its long rope "su" or "yarn"; the length before it was stretched is 4096 if the file does not say
        RopeParameters = RopeParameters with
        {
            RopeType = RopeParameters.RopeType is "su" or "yarn" ? "longrope" : RopeParameters.RopeType,
            OriginalMaxPositions = RopeParameters.OriginalMaxPositions ?? 4096,
        };
    }

    public double ResidualDropout => Json.Real("resid_pdrop", 0.0);

    /// <summary>A token attends to itself and the SlidingWindow - 1 tokens before it; null for all tokens.</summary>
    public int? SlidingWindow => Json.Has("sliding_window") ? Json.Size("sliding_window") : null;
}

/// <summary>Phi-3 and Phi-4: queries, keys and values in one projection, gate and up in another.</summary>
/// <remarks>transformers/models/phi3/modeling_phi3.py; Abdin et al., 2024</remarks>
[Architecture("Phi3ForCausalLM", ModelType = "phi3")]
public sealed class Phi3ForCausalLM : DecoderForCausalLM
{
    private readonly DecoderModel _model;

    public Phi3ForCausalLM(ConfigReader json) : this(new DecoderModel(Describe(new Phi3Config(json)))) { }

    private Phi3ForCausalLM(DecoderModel model) : base(model.Description, model) => _model = model;

    /// <summary>Phi3ForCausalLM.prepare_inputs_for_generation forgets the cache there.</summary>
    public override long? CacheRecomputeLength => _model.LengthThreshold;

    private static DecoderDescription Describe(Phi3Config config) => new(config, "Phi3")
    {
        Window = config.SlidingWindow, IsPartialRotary = true,
        ResidualDropouts = ("resid_attn_dropout", "resid_mlp_dropout", config.ResidualDropout),
        CreateAttention = static (description, layer) => new Phi3Attention(description, layer),
        CreateMlp = static (description, _) => new GateUpMlp(
            "Phi3MLP", description.Config.HiddenSize, description.Config.IntermediateSize, description.CreateActivation()),
    };
}

public sealed partial class Phi3Attention : DecoderAttention
{
    private readonly Linear _oProj, _qkvProj;
    private readonly FusedAttention? _fusedAttention;

    internal Phi3Attention(DecoderDescription description, int layer) : base(description, layer)
    {
        int hiddenSize = description.Config.HiddenSize;
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, hiddenSize, bias: false));
        _qkvProj = Child("qkv_proj", new Linear(hiddenSize, (NumHeads + 2 * NumKvHeads) * HeadDim, bias: false));
        _fusedAttention = CreateFused([_qkvProj], _oProj);
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        if (_fusedAttention?.TryForward(hidden, cache, mask, positionEmbeddings) is { } fused) return fused;
        using var scope = NewDisposeScope();
        // [batch, heads + 2 kvHeads, seq, headDim]
        Tensor all = EagerAttention.SplitHeads(_qkvProj.Call(hidden), NumHeads + 2 * NumKvHeads, HeadDim);
        Tensor query = PartialRotary.Rotate(all.narrow(1, 0, NumHeads), positionEmbeddings);            // [batch, heads, seq, headDim]
        Tensor key = PartialRotary.Rotate(all.narrow(1, NumHeads, NumKvHeads), positionEmbeddings);     // [batch, kvHeads, seq, headDim]
        Tensor value = all.narrow(1, NumHeads + NumKvHeads, NumKvHeads);                                // [batch, kvHeads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = EagerAttention.Forward(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                                  // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }
}
