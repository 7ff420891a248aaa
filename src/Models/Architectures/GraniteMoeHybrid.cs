using Ndif.Models.Config;
using Ndif.Models.Layers.StateSpace;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Granite 4.</summary>
/// <remarks>transformers/models/granitemoehybrid/configuration_granitemoehybrid.py</remarks>
public sealed record GraniteMoeHybridConfig(ConfigReader Json) : GraniteMoeConfig(Json)
{
    /// <summary>Whether a layer has attention; the others have a Mamba-2 mixer.</summary>
    public bool IsAttention(int layer) => Json.Texts("layer_types") is { Count: > 0 } types
        ? types.ElementAtOrDefault(layer) == "attention" : false;

    /// <summary>Whether positions rotate queries and keys.</summary>
    public bool HasPositions => (Json.TextOrNull("position_embedding_type") ?? "rope") == "rope";
}

/// <summary>Granite 4: Mamba-2 layers and a few with attention, experts and an mlp for all tokens, or only that mlp.</summary>
/// <remarks>transformers/models/granitemoehybrid/modeling_granitemoehybrid.py; IBM, Granite 4.0, 2025</remarks>
[Architecture("GraniteMoeHybridForCausalLM", ModelType = "granitemoehybrid")]
public sealed class GraniteMoeHybridForCausalLM : DecoderForCausalLM
{
    public GraniteMoeHybridForCausalLM(ConfigReader json) : this(new GraniteMoeHybridConfig(json)) { }

    private GraniteMoeHybridForCausalLM(GraniteMoeHybridConfig config) : this(config, Describe(config)) { }

    private GraniteMoeHybridForCausalLM(GraniteMoeHybridConfig config, DecoderDescription description) :
        base(description, new HybridModel(description, layer => !config.IsAttention(layer))) { }

    public override bool HasStatesBesideKeys => true;

    private static DecoderDescription Describe(GraniteMoeHybridConfig config) => config.Describe("GraniteMoeHybrid") with
    {
        HasRotaryEmbedding = config.HasPositions, HasRotaryPositions = _ => config.HasPositions, PassesPositionIds = false,
        PassesPositionIdsByPosition = true, MlpName = "shared_mlp",
        CreateLayer = (description, layer) => new GraniteMoeHybridDecoderLayer(config, description, layer),
    };
}

public sealed partial class GraniteMoeHybridDecoderLayer : DecoderBlock
{
    private readonly double _residualMultiplier;
    private readonly TensorModule _inputLayernorm, _postAttentionLayernorm;
    private readonly GraniteMoeMoE? _blockSparseMoe;
    private readonly GraniteMoeSharedMLP _sharedMlp;
    private readonly Mamba2Mixer? _mamba;
    private readonly DecoderAttention? _selfAttn;

    internal GraniteMoeHybridDecoderLayer(GraniteMoeHybridConfig config, DecoderDescription description, int layer) : base(description)
    {
        _residualMultiplier = description.ResidualMultiplier ?? 1;
        bool isAttention = config.IsAttention(layer);
        if (isAttention) _selfAttn = description.CreateAttention(description, layer);
        _inputLayernorm = Child("input_layernorm", description.CreateNorm(config.HiddenSize));
        _postAttentionLayernorm = Child("post_attention_layernorm", description.CreateNorm(config.HiddenSize));
        if (config.NumLocalExperts > 0) _blockSparseMoe = Child("block_sparse_moe", new GraniteMoeMoE(config, description));
        _sharedMlp = Child("shared_mlp", new GraniteMoeSharedMLP(config, description));
        if (_selfAttn is not null) Child("self_attn", _selfAttn);
        else
            _mamba = Child("mamba", new Mamba2Mixer("GraniteMoeHybridMambaLayer", layer, new MixerCall(IsKeyword: true),
                Mamba2Layers.Read(config.Json, config.HiddenSize, config.NormEps) with { NormClass = "GraniteMoeHybridRMSNormGated" },
                description.CreateActivation()));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential(
        (_selfAttn ?? (SiteModule)_mamba!).Name, _blockSparseMoe is null ? "shared_mlp" : "", scale: _residualMultiplier);

    protected override bool KeepsState => _mamba is not null;

    public override Axes InputAxes(string argument) =>
        argument == "attention_mask" && _mamba is not null ? new Axes(0, 1) : base.InputAxes(argument);

    protected override object?[] Forward(
        Tensor hidden, Tensor? mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                       // [batch, seq, hidden]
        Tensor mixed = _mamba is not null ? _mamba.Call(normal, cache, mask)
            : (Tensor)_selfAttn!.Call(normal, mask!, positionIds, cache, positionEmbeddings)[0]!;           // [batch, seq, hidden]
        Tensor middle = hidden + mixed * _residualMultiplier;                                               // [batch, seq, hidden]
        normal = _postAttentionLayernorm.Call(middle);                                                      // [batch, seq, hidden]
        Tensor changed = _blockSparseMoe is null ? _sharedMlp.Call(normal) : _blockSparseMoe.Call(normal) + _sharedMlp.Call(normal);
        Tensor output = middle + changed * _residualMultiplier;                                             // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}
