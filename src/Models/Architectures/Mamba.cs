using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using Ndif.Protocol;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Architectures;

/// <summary>Mamba: layers of a norm and a selective state-space model.</summary>
/// <remarks>transformers/models/mamba/modeling_mamba.py; Gu and Dao, Mamba, 2023</remarks>
[Architecture("MambaForCausalLM", ModelType = "mamba")]
public sealed class MambaForCausalLM(ConfigReader json) : StateSpaceForCausalLM(json, "Mamba", (layer, activation) =>
    new MambaMixer("MambaMixer", layer, new MixerCall(IsKeyword: false), ReadMixer(json), activation));

/// <summary>Falcon Mamba: a Mamba with norms of time step, B and C.</summary>
/// <remarks>transformers/models/falcon_mamba/modeling_falcon_mamba.py; Zuo et al., Falcon Mamba, 2024</remarks>
[Architecture("FalconMambaForCausalLM", ModelType = "falcon_mamba")]
public sealed class FalconMambaForCausalLM(ConfigReader json) : StateSpaceForCausalLM(json, "FalconMamba", (layer, activation) =>
    new MambaMixer("FalconMambaMixer", layer, new MixerCall(IsKeyword: false),
        ReadMixer(json) with { PlainNormEps = json.Real("mixer_rms_eps", 1e-6) }, activation))
{
    /// <summary>The weights of the norms, which are all 1.</summary>
    protected internal override IReadOnlyList<string> IgnoredSuffixes => [".b_c_rms", ".dt_rms"];
}

/// <summary>Mamba-2: state-space models with one decay for each head.</summary>
/// <remarks>transformers/models/mamba2/modeling_mamba2.py; Dao and Gu, Transformers are SSMs, 2024</remarks>
[Architecture("Mamba2ForCausalLM", ModelType = "mamba2")]
public sealed class Mamba2ForCausalLM(ConfigReader json) : StateSpaceForCausalLM(json, "Mamba2", (layer, activation) =>
    new Mamba2Mixer("Mamba2Mixer", layer, new MixerCall(IsKeyword: false), new Mamba2Config(
        json.Size("hidden_size", 4096), json.Size("num_heads", 128), json.Size("head_dim", 64), json.Size("state_size", 128),
        json.Size("n_groups", 8), json.Size("conv_kernel", 4), json.Real("layer_norm_epsilon", 1e-5))
    {
        ConvBias = json.Flag("use_conv_bias", true), ProjectionBias = json.Flag("use_bias", false), NormClass = "MambaRMSNormGated",
        TimeStepLimit = Mamba2Config.ReadTimeStepLimit(json),
    }, activation), hasPrintedNorms: false)
{
    /// <summary>Older checkpoints have another name for the embeddings.</summary>
    public override string ToTreeName(string tensorName) =>
        tensorName.Replace("backbone.embedding.", "backbone.embeddings.", StringComparison.Ordinal);
}

/// <summary>Embeddings, layers of a norm and a mixer with a state, and a head.</summary>
/// <remarks>MambaForCausalLM in transformers/models/mamba/modeling_mamba.py and its relatives</remarks>
public abstract class StateSpaceForCausalLM : DecoderForCausalLM
{
    private protected StateSpaceForCausalLM(
        ConfigReader json, string family, Func<int, Activation, StateSpaceMixer> createMixer, bool hasPrintedNorms = true) : base(
        // it has no positions and no limit of them
        new PreTrainedConfig(json.Size("vocab_size", 50280), int.MaxValue, json.Size("num_hidden_layers", 32)),
        new StandardNames
        {
            Embed = "backbone.embeddings", Layers = "backbone.layers", FinalNorm = "backbone.norm_f", LmHead = "lm_head",
            Attention = "mixer", Mlp = "mixer",
        },
        new StateSpaceModel(json, family, createMixer, hasPrintedNorms), json.Size("hidden_size", 768),
        json.Flag("tie_word_embeddings", family is "Mamba" or "FalconMamba")) { }

    public override bool HasStatesBesideKeys => true;

    private protected override string CacheName => "cache_params";

    /// <summary>The config.json of a Mamba or a Falcon Mamba.</summary>
    private protected static MambaConfig ReadMixer(ConfigReader json)
    {
        int hiddenSize = json.Size("hidden_size", 768);
        int rank = json.TextOrNull("time_step_rank") is "auto" || !json.Has("time_step_rank") ? (hiddenSize + 15) / 16
            : json.Size("time_step_rank");
        return new MambaConfig(hiddenSize, json.Size("expand", 2) * hiddenSize, json.Size("state_size", 16), rank,
            json.Size("conv_kernel", 4))
        {
            ConvBias = json.Flag("use_conv_bias", true), ProjectionBias = json.Flag("use_bias", false),
        };
    }
}

public sealed partial class StateSpaceModel : BaseModel
{
    private readonly Embedding _embeddings;
    private readonly ModuleList<StateSpaceBlock> _layers;
    private readonly RMSNorm _normF;

    internal StateSpaceModel(
        ConfigReader json, string family, Func<int, Activation, StateSpaceMixer> createMixer, bool hasPrintedNorms)
    {
        ClassName = $"{family}Model";
        int hiddenSize = json.Size("hidden_size", 768);
        _embeddings = Child("embeddings", new Embedding(json.Size("vocab_size", 50280), hiddenSize));
        _layers = Child("layers", new ModuleList<StateSpaceBlock>(json.Size("num_hidden_layers", 32),
            layer => new StateSpaceBlock(family, CreateNorm(), createMixer(layer, Activation.Read(json, "hidden_act", "silu")))));
        _normF = Child("norm_f", CreateNorm());

        RMSNorm CreateNorm() => new($"{family}RMSNorm", hiddenSize, json.Real("layer_norm_epsilon", 1e-5), NormKind.Rms,
            format: hasPrintedNorms ? "{0}, eps={1}" : "");
    }

    public override string ClassName { get; }

    internal override Parameter Embeddings => _embeddings.Table;

    public override ModelOutput Call(Tensor inputIds, Tensor attentionMask, Tensor positionIds, KeyValueCache? cache) =>
        Hook is { } observer ? CallHooked<ModelOutput>(observer, new Arguments([inputIds],
        [
            new("cache_params", cache), new("use_cache", cache is not null), new("return_dict", true), new("attention_mask", attentionMask),
        ]))
        : Forward(inputIds, attentionMask, cache);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "input_ids"), arguments.Tensor(3, "attention_mask"), arguments.Get(1, "cache_params") as KeyValueCache);

    private ModelOutput Forward(Tensor inputIds, Tensor attentionMask, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        long seqLen = inputIds.size(1);
        Tensor hidden = _embeddings.Call(inputIds);                                             // [batch, seq, hidden]
        Tensor? padding = PaddingMask.Of(attentionMask, seqLen);                                // [batch, seq]
        for (int layer = 0; layer < _layers.Count; layer++)
            hidden = (Tensor)_layers[layer].Call(hidden, cache, padding)[0]!;                   // [batch, seq, hidden]
        hidden = _normF.Call(hidden);                                                           // [batch, seq, hidden]
        cache?.Advance(seqLen);
        return new ModelOutput(new("last_hidden_state", hidden.MoveToOuterDisposeScope()), new("cache_params", cache));
    }
}

public sealed partial class StateSpaceBlock : SiteModule
{
    private readonly RMSNorm _norm;
    private readonly StateSpaceMixer _mixer;

    internal StateSpaceBlock(string family, RMSNorm norm, StateSpaceMixer mixer)
    {
        ClassName = $"{family}Block";
        (_norm, _mixer) = (Child("norm", norm), Child("mixer", mixer));
    }

    public override string ClassName { get; }

    public override Axes InputAxes(string argument) => argument == "attention_mask" ? new Axes(0, 1) : Axes.Hidden;

    /// <returns>A tuple: hidden [batch, seq, hidden].</returns>
    public object?[] Call(Tensor hidden, KeyValueCache? cache, Tensor? mask) => Hook is { } observer
        ? CallHooked<object?[]>(observer, new Arguments([hidden],
            [new("cache_params", cache), .. mask is null ? [] : (KeyValuePair<string, object?>[])[new("attention_mask", mask)]]))
        : Forward(hidden, cache, mask);

    public override object? Run(Arguments arguments) => Forward(
        arguments.Tensor(0, "hidden_states"), arguments.Get(1, "cache_params") as KeyValueCache,
        arguments.Get(2, "attention_mask") as Tensor);

    private object?[] Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        Tensor mixed = _mixer.Call(_norm.Call(hidden), cache, mask);                            // [batch, seq, hidden]
        return [(hidden + mixed).MoveToOuterDisposeScope()];                                    // [batch, seq, hidden]
    }
}
