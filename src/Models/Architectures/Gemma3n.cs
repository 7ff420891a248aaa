using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>
/// Gemma 3n, text only: several residual streams, of which one runs through attention and mlp and the others are predicted and corrected,
/// an input of its own for each layer, and last layers with the keys and values of earlier ones.
/// </summary>
/// <remarks>transformers/models/gemma3n/modeling_gemma3n.py; Gemma Team, Gemma 3n, 2025</remarks>
[Architecture("Gemma3nForCausalLM", ModelType = "gemma3n_text")]
public sealed class Gemma3nForCausalLM : DecoderForCausalLM
{
    private readonly KeySharing _sharing;

    public Gemma3nForCausalLM(ConfigReader json) : this(new Gemma3nTextConfig(json)) { }

    private Gemma3nForCausalLM(Gemma3nTextConfig config) :
        base(config.Describe(), Gemma4ForCausalLM.CreateNames("model"), new Gemma3nTextModel(config, takesEmbeddings: false)) =>
        _sharing = config.Sharing;

    /// <summary>What is kept of a prompt has one residual stream.</summary>
    public override bool HasStatesBesideKeys => true;

    public override bool SharesKeysOfLayers => _sharing.Any;

    protected internal override IReadOnlyList<string> IgnoredSuffixes => _sharing.UnusedTensors;
}

/// <summary>The text part of a multimodal Gemma 3n.</summary>
/// <remarks>Gemma3nForConditionalGeneration in transformers/models/gemma3n/modeling_gemma3n.py</remarks>
[Architecture("Gemma3nForConditionalGeneration", ModelType = "gemma3n")]
public sealed class Gemma3nForConditionalGeneration : MultimodalForConditionalGeneration
{
    private readonly KeySharing _sharing;

    public Gemma3nForConditionalGeneration(ConfigReader json) : this(new Gemma3nTextConfig(TextConfig(json, isTiedByDefault: true))) { }

    private Gemma3nForConditionalGeneration(Gemma3nTextConfig config) :
        base(config.Describe(), new PerLayerMultimodalModel("Gemma3nModel", new Gemma3nTextModel(config, takesEmbeddings: true))) =>
        _sharing = config.Sharing;

    /// <summary>What is kept of a prompt has one residual stream.</summary>
    public override bool HasStatesBesideKeys => true;

    public override bool SharesKeysOfLayers => _sharing.Any;

    protected internal override IReadOnlyList<string> IgnoredSuffixes => _sharing.UnusedTensors;
}

/// <summary>Embeddings become several residual streams before the layers, and one after them.</summary>
public sealed partial class Gemma3nTextModel : PerLayerInputModel
{
    private readonly int?[] _windows;
    private readonly ModuleList<Gemma3nTextDecoderLayer> _layers;
    private readonly RMSNorm _norm;
    private readonly RotaryEmbeddingByLayerType _rotaryEmb;
    private readonly ModuleList<Linear> _altupProjections, _altupUnembedProjections;

    internal Gemma3nTextModel(Gemma3nTextConfig config, bool takesEmbeddings) :
        base(config, "Gemma3nTextScaledWordEmbedding", takesEmbeddings)
    {
        _windows = config.Sharing.Windows(config.SlidingWindow);
        _layers = Child("layers", new ModuleList<Gemma3nTextDecoderLayer>(config.NumLayers, layer => new(config, layer)));
        _norm = Child("norm", config.CreateNorm(config.HiddenSize));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbeddingByLayerType("Gemma3nRotaryEmbedding",
            new(config.Json, config.LocalRopeParameters, config.HeadDim), new(config.Json, config.RopeParameters, config.HeadDim),
            new Axes(1, 2)));
        CreatePerLayerInputs(config.PerLayerVocabSize, config.PerLayerInputSize, size => config.CreateNorm(size));
        _altupProjections = Child("altup_projections", CreateProjections());
        _altupUnembedProjections = Child("altup_unembed_projections", CreateProjections());

        ModuleList<Linear> CreateProjections() =>
            new(config.NumInputs - 1, _ => new Linear(config.HiddenSize, config.HiddenSize, bias: false));
    }

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, Tensor? perLayerInputs)
    {
        using var scope = NewDisposeScope();
        using SharedKeyValues shared = new();
        long seqLen = inputIds.size(1);
        Tensor embeddings = inputIds;                                                                   // [batch, seq, hidden]
        if (!_takesEmbeddings) embeddings = _embedTokens.Call(inputIds);                                // [batch, seq, hidden]
        if (!_takesEmbeddings) perLayerInputs = GetPerLayerInputs(inputIds);                            // [batch, seq, layers, perLayer]
        perLayerInputs = ProjectPerLayerInputs(embeddings, perLayerInputs!);                            // [batch, seq, layers, perLayer]
        Tensor[] masks = SlidingWindows.Masks(_windows, attentionMask, seqLen, embeddings.dtype);       // layers x [batch, 1, seq, kvSeq]
        Tensor magnitude = Magnitude(embeddings);                                                       // [batch, seq, 1]
        List<Tensor> streams = [embeddings];                                                            // inputs x [batch, seq, hidden]
        for (int i = 0; i < _altupProjections.Count; i++)
            streams.Add(WithMagnitude(_altupProjections[i].Call(embeddings), magnitude));               // [batch, seq, hidden]
        Tensor hidden = stack(streams, 0);                                                              // [inputs, batch, seq, hidden]
        object?[] local = [], global = [];                                                              // 2 x [batch, seq, headDim]
        if (_windows.Any(w => w is not null)) local = _rotaryEmb.Call(hidden, positionIds, "sliding_attention");
        if (_windows.Any(w => w is null)) global = _rotaryEmb.Call(hidden, positionIds, "full_attention");
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor own = perLayerInputs.select(2, layer);                                               // [batch, seq, perLayer]
            object?[] positions = _windows[layer] is null ? global : local;                             // 2 x [batch, seq, headDim]
            hidden = (Tensor)_layers[layer].Call(hidden, positions, own, masks[layer], positionIds, cache, shared)[0]!;
        }
        streams = [hidden[0]];                                                                          // inputs x [batch, seq, hidden]
        magnitude = Magnitude(streams[0]);                                                              // [batch, seq, 1]
        for (int i = 0; i < _altupUnembedProjections.Count; i++)
            streams.Add(WithMagnitude(_altupUnembedProjections[i].Call(hidden[i + 1]), magnitude));     // [batch, seq, hidden]
        Tensor mean = stack(streams, 0).mean([0L]);                                                     // [batch, seq, hidden]
        Tensor output = _norm.Call(mean);                                                               // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", output.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }

    /// <summary>The root of the mean square.</summary>
    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, 1]</returns>
    private static Tensor Magnitude(Tensor hidden) => hidden.square().mean([-1], keepdim: true).sqrt();

    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="magnitude">[batch, seq, 1]: that of the result.</param>
    /// <returns>[batch, seq, hidden]</returns>
    private static Tensor WithMagnitude(Tensor hidden, Tensor magnitude)
    {
        hidden = hidden.to(magnitude.device);                                                           // [batch, seq, hidden]
        Tensor own = hidden.square().mean([-1], keepdim: true).clamp_min(1e-5).sqrt();                  // [batch, seq, 1]
        return hidden * magnitude / own;
    }

    private protected override Tensor Scale(double factor, Tensor like) => tensor((float)factor, like.dtype, like.device);
}
