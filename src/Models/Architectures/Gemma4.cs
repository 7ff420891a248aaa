using Ndif.Models.Config;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>
/// Gemma 4, text only: wider heads in the layers without a window, last layers with the keys and values of earlier ones, and an input of
/// its own for each layer; in some models experts beside each mlp.
/// </summary>
/// <remarks>transformers/models/gemma4/modeling_gemma4.py; Gemma Team, Gemma 4, 2026</remarks>
[Architecture("Gemma4ForCausalLM", ModelType = "gemma4_text")]
public sealed class Gemma4ForCausalLM : DecoderForCausalLM
{
    private readonly KeySharing _sharing;

    public Gemma4ForCausalLM(ConfigReader json) : this(new Gemma4TextConfig(json)) { }

    private Gemma4ForCausalLM(Gemma4TextConfig config) :
        base(config.Describe(), CreateNames("model"), new Gemma4TextModel(config, takesEmbeddings: false)) =>
        _sharing = config.Sharing;

    public override bool HasStatesBesideKeys => _sharing.Any;

    public override bool SharesKeysOfLayers => _sharing.Any;

    protected internal override IReadOnlyList<string> IgnoredSuffixes => _sharing.UnusedTensors;

    internal static StandardNames CreateNames(string prefix) => new()
    {
        Embed = $"{prefix}.embed_tokens", Layers = $"{prefix}.layers", FinalNorm = $"{prefix}.norm", LmHead = "lm_head",
        Attention = "self_attn", Mlp = "mlp",
    };
}

/// <summary>The text part of a multimodal Gemma 4.</summary>
/// <remarks>Gemma4ForConditionalGeneration in transformers/models/gemma4/modeling_gemma4.py</remarks>
[Architecture("Gemma4ForConditionalGeneration", ModelType = "gemma4")]
public sealed class Gemma4ForConditionalGeneration : MultimodalForConditionalGeneration
{
    private readonly KeySharing _sharing;

    public Gemma4ForConditionalGeneration(ConfigReader json) : this(new Gemma4TextConfig(TextConfig(json, isTiedByDefault: true))) { }

    private Gemma4ForConditionalGeneration(Gemma4TextConfig config) :
        base(config.Describe(), new PerLayerMultimodalModel("Gemma4Model", new Gemma4TextModel(config, takesEmbeddings: true))) =>
        _sharing = config.Sharing;

    public override bool HasStatesBesideKeys => _sharing.Any;

    public override bool SharesKeysOfLayers => _sharing.Any;

    protected internal override IReadOnlyList<string> IgnoredSuffixes => _sharing.UnusedTensors;
}

/// <summary>Masks and rotary frequencies for the layers with a window and for the others.</summary>
public sealed partial class Gemma4TextModel : PerLayerInputModel
{
    private readonly int?[] _windows;
    private readonly ModuleList<Gemma4TextDecoderLayer> _layers;
    private readonly RMSNorm _norm;
    private readonly RotaryEmbeddingByLayerType _rotaryEmb;

    internal Gemma4TextModel(Gemma4TextConfig config, bool takesEmbeddings) :
        base(config, "Gemma4TextScaledWordEmbedding", takesEmbeddings)
    {
        _windows = config.Sharing.Windows(config.SlidingWindow);
        _layers = Child("layers", new ModuleList<Gemma4TextDecoderLayer>(config.NumLayers, layer => new(config, layer)));
        _norm = Child("norm", config.CreateNorm(config.HiddenSize));
        _rotaryEmb = Child("rotary_emb", new RotaryEmbeddingByLayerType("Gemma4TextRotaryEmbedding",
            new(config.Json, config.LocalRopeParameters, config.HeadDim), new(config.Json, config.RopeParameters, config.GlobalHeadDim)));
        if (config.PerLayerInputSize > 0)
            CreatePerLayerInputs(config.PerLayerVocabSize, config.PerLayerInputSize, size => config.CreateNorm(size));
    }

    protected override ModelOutput Forward(
        Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache, Tensor? perLayerInputs)
    {
        using var scope = NewDisposeScope();
        using SharedKeyValues shared = new();
        long seqLen = inputIds.size(1);
        Tensor hidden = inputIds;                                                                       // [batch, seq, hidden]
        if (!_takesEmbeddings) hidden = _embedTokens.Call(inputIds);                                    // [batch, seq, hidden]
        if (!_takesEmbeddings && _embedTokensPerLayer is not null) perLayerInputs = GetPerLayerInputs(inputIds);
        if (_embedTokensPerLayer is not null) perLayerInputs = ProjectPerLayerInputs(hidden, perLayerInputs!);
        Tensor[] masks = SlidingWindows.Masks(_windows, attentionMask, seqLen, hidden.dtype);           // layers x [batch, 1, seq, kvSeq]
        object?[] local = [], global = [];                                                              // 2 x [batch, seq, headDim]
        if (_windows.Any(w => w is not null)) local = _rotaryEmb.Call(hidden, positionIds, "sliding_attention");
        if (_windows.Any(w => w is null)) global = _rotaryEmb.Call(hidden, positionIds, "full_attention");
        for (int layer = 0; layer < _layers.Count; layer++)
        {
            Tensor? own = null;                                                                         // [batch, seq, perLayer]
            if (_embedTokensPerLayer is not null) own = perLayerInputs!.select(2, layer);               // [batch, seq, perLayer]
            object?[] positions = _windows[layer] is null ? global : local;                             // 2 x [batch, seq, headDim]
            hidden = (Tensor)_layers[layer].Call(hidden, own, shared, positions, masks[layer], positionIds, cache)[0]!;
        }
        hidden = _norm.Call(hidden);                                                                    // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("past_key_values", cache));
    }
}
