using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using Ndif.Models.Layers.StateSpace;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of an RWKV of version 4.</summary>
/// <param name="AttentionSize">The width of keys and values.</param>
/// <param name="RescaleEvery">The residual stream is halved after this number of layers, again and again; 0 for never.</param>
/// <remarks>transformers/models/rwkv/configuration_rwkv.py</remarks>
public sealed record RwkvConfig(
    int VocabSize, int HiddenSize, int AttentionSize, int IntermediateSize, int NumLayers, double NormEps, int RescaleEvery,
    bool TieWordEmbeddings)
{
    public static RwkvConfig Read(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 4096);
        return new RwkvConfig(json.Size("vocab_size", 50277), hiddenSize, json.Size("attention_hidden_size", hiddenSize),
            json.Size("intermediate_size", 4 * hiddenSize), json.Size("num_hidden_layers", 32), json.Real("layer_norm_epsilon", 1e-5),
            (int)Math.Max(0, json.Integer("rescale_every", 6)), json.Flag("tie_word_embeddings", false));
    }

    /// <summary>What the outputs of a layer are divided by, so that they fit the halved residual stream.</summary>
    public double Divisor(int layer) => RescaleEvery == 0 ? 1 : Math.Pow(2, layer / RescaleEvery);
}

/// <summary>
/// RWKV, version 4: a recurrence with a decay for each channel instead of attention; each token is mixed with the one before it.
/// </summary>
/// <remarks>
/// transformers/models/rwkv/modeling_rwkv.py; Peng et al., RWKV, 2023. There, the recurrence sees the padding; here, a padded row has what
/// it has alone. The state is in the cache.
/// </remarks>
[Architecture("RwkvForCausalLM", ModelType = "rwkv")]
public sealed class RwkvForCausalLM : DecoderForCausalLM
{
    public RwkvForCausalLM(ConfigReader json) : this(RwkvConfig.Read(json)) { }

    private RwkvForCausalLM(RwkvConfig config) : base(
        // it has no positions and no limit of them
        new PreTrainedConfig(config.VocabSize, int.MaxValue, config.NumLayers),
        new StandardNames
        {
            Embed = "rwkv.embeddings", Layers = "rwkv.blocks", FinalNorm = "rwkv.ln_out", LmHead = "head", Attention = "attention",
            Mlp = "feed_forward",
        },
        new RwkvModel(config), config.HiddenSize, config.TieWordEmbeddings) { }

    public override bool HasStatesBesideKeys => true;

    private protected override string CacheName => "state";
}

public sealed partial class RwkvModel : BaseModel
{
    private readonly int _rescaleEvery;
    private readonly Embedding _embeddings;
    private readonly ModuleList<RwkvBlock> _blocks;
    private readonly LayerNorm _lnOut;

    internal RwkvModel(RwkvConfig config)
    {
        _rescaleEvery = config.RescaleEvery;
        _embeddings = Child("embeddings", new Embedding(config.VocabSize, config.HiddenSize));
        _blocks = Child("blocks", new ModuleList<RwkvBlock>(config.NumLayers, layer => new RwkvBlock(config, layer)));
        _lnOut = Child("ln_out", new LayerNorm(config.HiddenSize));
    }

    internal override Parameter Embeddings => _embeddings.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
            [new("attention_mask", attentionMask), new("state", cache), new("use_cache", cache is not null)]))
        : Forward(inputIds, attentionMask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"), arguments.Tensor(1, "attention_mask"), arguments.Get(3, "state") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = _embeddings.Call(inputIds);                                             // [batch, seq, hidden]
        Tensor? padding = PaddingMask.Of(attentionMask, inputIds.size(1));                      // [batch, seq]
        for (int layer = 0; layer < _blocks.Count; layer++)
        {
            hidden = (Tensor)_blocks[layer].Call(hidden, cache, padding)[0]!;                   // [batch, seq, hidden]
            if (_rescaleEvery > 0 && (layer + 1) % _rescaleEvery == 0) hidden = hidden / 2;     // [batch, seq, hidden]
        }
        hidden = _lnOut.Call(hidden);                                                           // [batch, seq, hidden]
        cache?.Advance(inputIds.size(1));
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("state", cache));
    }
}

[SharedLayer]
public sealed partial class RwkvBlock : SiteModule
{
    private readonly LayerNorm? _preLn;
    private readonly LayerNorm _ln1, _ln2;
    private readonly RwkvSelfAttention _attention;
    private readonly RwkvFeedForward _feedForward;

    internal RwkvBlock(RwkvConfig config, int layer)
    {
        if (layer == 0) _preLn = Child("pre_ln", new LayerNorm(config.HiddenSize, config.NormEps));
        _ln1 = Child("ln1", new LayerNorm(config.HiddenSize, config.NormEps));
        _ln2 = Child("ln2", new LayerNorm(config.HiddenSize, config.NormEps));
        _attention = Child("attention", new RwkvSelfAttention(config, layer));
        _feedForward = Child("feed_forward", new RwkvFeedForward(config, layer));
    }

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, 1) : Axes.Hidden;

    /// <param name="mask">[batch, seq]: 0 for padding; null for none.</param>
    /// <returns>A tuple: hidden [batch, seq, hidden], the cache, and None where Hugging Face's code has attentions.</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor? mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("state", cache), new("use_cache", cache is not null), .. RwkvMixing.MaskArgument(mask)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden"), arguments.Get(1, "state") as KeyValueCache, arguments.Get(4, "attention_mask") as Tensor);

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        if (_preLn is not null) hidden = _preLn.Call(hidden);                                   // [batch, seq, hidden]
        var attended = (Tensor)_attention.Call(_ln1.Call(hidden), cache, mask)[0]!;             // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                      // [batch, seq, hidden]
        var changed = (Tensor)_feedForward.Call(_ln2.Call(middle), cache, mask)[0]!;            // [batch, seq, hidden]
        Tensor output = middle + changed;                                                       // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), cache, null];
    }
}

public sealed partial class RwkvSelfAttention : SiteModule
{
    private const int ShiftState = 0, NumeratorState = 1, DenominatorState = 2, MaximumState = 3;

    private readonly int _layer;
    private readonly Parameter _timeDecay, _timeFirst;                              // [width]
    private readonly Parameter _timeMixKey, _timeMixValue, _timeMixReceptance;      // [1, 1, hidden]
    private readonly RwkvTimeShift _timeShift;
    private readonly Linear _key, _value, _receptance;
    private readonly RescaledLinear _output;

    internal RwkvSelfAttention(RwkvConfig config, int layer)
    {
        _layer = layer;
        _timeDecay = Weight("time_decay", config.AttentionSize);
        _timeFirst = Weight("time_first", config.AttentionSize);
        _timeMixKey = Weight("time_mix_key", 1, 1, config.HiddenSize);
        _timeMixValue = Weight("time_mix_value", 1, 1, config.HiddenSize);
        _timeMixReceptance = Weight("time_mix_receptance", 1, 1, config.HiddenSize);
        _timeShift = Child("time_shift", new RwkvTimeShift());
        _key = Child("key", new Linear(config.HiddenSize, config.AttentionSize, bias: false));
        _value = Child("value", new Linear(config.HiddenSize, config.AttentionSize, bias: false));
        _receptance = Child("receptance", new Linear(config.HiddenSize, config.AttentionSize, bias: false));
        _output = Child("output", new RescaledLinear(config.AttentionSize, config.HiddenSize, config.Divisor(layer)));
    }

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, 1) : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], the cache.</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor? mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("state", cache), new("use_cache", cache is not null), .. RwkvMixing.MaskArgument(mask)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden"), arguments.Get(1, "state") as KeyValueCache, arguments.Get(3, "attention_mask") as Tensor);

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor shifted = RwkvMixing.Shift(_timeShift, hidden, mask, cache, _layer, ShiftState);         // [batch, seq, hidden]
        Tensor key = _key.Call(RwkvMixing.Mix(hidden, shifted, _timeMixKey.Value));                     // [batch, seq, width]
        Tensor value = _value.Call(RwkvMixing.Mix(hidden, shifted, _timeMixValue.Value));               // [batch, seq, width]
        Tensor gate = _receptance.Call(RwkvMixing.Mix(hidden, shifted, _timeMixReceptance.Value)).sigmoid(); // [batch, seq, width]
        Tensor?[] states = [.. Enumerable.Range(NumeratorState, 3).Select(state => cache?.State(_layer, state))];
        var (mixed, numerator, denominator, maximum) = RwkvMixing.Attend(_timeDecay.Value, _timeFirst.Value, key, value, mask, states);
        cache?.SetState(_layer, NumeratorState, numerator);
        cache?.SetState(_layer, DenominatorState, denominator);
        cache?.SetState(_layer, MaximumState, maximum);
        return [_output.Call(gate * mixed).MoveToOuterDisposeScope(), cache];
    }
}

public sealed partial class RwkvFeedForward : SiteModule
{
    private const int ShiftState = 4; // after those of the attention

    private readonly int _layer;
    private readonly Parameter _timeMixKey, _timeMixReceptance; // [1, 1, hidden]
    private readonly RwkvTimeShift _timeShift;
    private readonly Linear _key, _receptance;
    private readonly RescaledLinear _value;

    internal RwkvFeedForward(RwkvConfig config, int layer)
    {
        _layer = layer;
        _timeMixKey = Weight("time_mix_key", 1, 1, config.HiddenSize);
        _timeMixReceptance = Weight("time_mix_receptance", 1, 1, config.HiddenSize);
        _timeShift = Child("time_shift", new RwkvTimeShift());
        _key = Child("key", new Linear(config.HiddenSize, config.IntermediateSize, bias: false));
        _receptance = Child("receptance", new Linear(config.HiddenSize, config.HiddenSize, bias: false));
        _value = Child("value", new RescaledLinear(config.IntermediateSize, config.HiddenSize, config.Divisor(layer)));
    }

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, 1) : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], the cache.</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor? mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden], [new("state", cache), .. RwkvMixing.MaskArgument(mask)]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden"), arguments.Get(1, "state") as KeyValueCache, arguments.Get(2, "attention_mask") as Tensor);

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor shifted = RwkvMixing.Shift(_timeShift, hidden, mask, cache, _layer, ShiftState);         // [batch, seq, hidden]
        Tensor key = _key.Call(RwkvMixing.Mix(hidden, shifted, _timeMixKey.Value));                     // [batch, seq, intermediate]
        Tensor value = _value.Call(nn.functional.threshold(key, 0, 0).square());                        // [batch, seq, hidden]
        Tensor gate = _receptance.Call(RwkvMixing.Mix(hidden, shifted, _timeMixReceptance.Value)).sigmoid(); // [batch, seq, hidden]
        return [(gate * value).MoveToOuterDisposeScope(), cache];
    }
}

/// <summary>The token before each token, and zeros before the first.</summary>
public sealed partial class RwkvTimeShift : TensorModule
{
    public override string ClassName => "ZeroPad2d";

    public override string ExtraRepr => "(0, 0, 1, -1)";

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using Tensor first = zeros_like(input.narrow(1, 0, 1)), rest = input.narrow(1, 0, input.size(1) - 1); // [batch, seq, hidden]
        return cat([first, rest], 1);
    }
}
