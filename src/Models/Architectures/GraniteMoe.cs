using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a Granite with experts.</summary>
/// <remarks>
/// transformers/models/granitemoe/configuration_granitemoe.py, transformers/models/granitemoeshared/configuration_granitemoeshared.py
/// </remarks>
public record GraniteMoeConfig(ConfigReader Json) : GraniteConfig(Json)
{
    public int NumLocalExperts => Json.Count("num_local_experts", 8);

    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 2);

    /// <summary>The size of the mlp for all tokens; 0 for none.</summary>
    public int SharedIntermediateSize => Json.Count("shared_intermediate_size", 0);

    /// <param name="hasSharedMlp">Whether layers have an mlp for all tokens if the file has a size for it.</param>
    internal DecoderDescription DescribeMoe(string family, bool hasSharedMlp) => Describe(family) with
    {
        PassesPositionIdsByPosition = true, MlpName = "block_sparse_moe",
        CreateLayer = (description, layer) => new GraniteMoeDecoderLayer(this, description, layer, hasSharedMlp),
    };
}

/// <summary>Granite with experts: each token has the experts with the highest logits, weighted by the softmax over these.</summary>
/// <remarks>transformers/models/granitemoe/modeling_granitemoe.py</remarks>
[Architecture("GraniteMoeForCausalLM", ModelType = "granitemoe")]
public sealed class GraniteMoeForCausalLM(ConfigReader json) :
    DecoderForCausalLM(new GraniteMoeConfig(json).DescribeMoe("GraniteMoe", hasSharedMlp: false));

/// <summary>Granite with experts and an mlp for all tokens.</summary>
/// <remarks>transformers/models/granitemoeshared/modeling_granitemoeshared.py</remarks>
[Architecture("GraniteMoeSharedForCausalLM", ModelType = "granitemoeshared")]
public sealed class GraniteMoeSharedForCausalLM(ConfigReader json) :
    DecoderForCausalLM(new GraniteMoeConfig(json).DescribeMoe("GraniteMoeShared", hasSharedMlp: true));

public sealed partial class GraniteMoeDecoderLayer : DecoderBlock
{
    private readonly double _residualMultiplier;
    private readonly DecoderAttention _selfAttn;
    private readonly TensorModule _inputLayernorm, _postAttentionLayernorm;
    private readonly GraniteMoeMoE _blockSparseMoe;
    private readonly GraniteMoeSharedMLP? _sharedMlp;

    internal GraniteMoeDecoderLayer(GraniteMoeConfig config, DecoderDescription description, int layer, bool hasSharedMlp) :
        base(description)
    {
        _residualMultiplier = description.ResidualMultiplier ?? 1;
        _selfAttn = Child("self_attn", description.CreateAttention(description, layer));
        _inputLayernorm = Child("input_layernorm", description.CreateNorm(config.HiddenSize));
        _postAttentionLayernorm = Child("post_attention_layernorm", description.CreateNorm(config.HiddenSize));
        _blockSparseMoe = Child("block_sparse_moe", new GraniteMoeMoE(config, description));
        if (hasSharedMlp && config.SharedIntermediateSize > 0)
            _sharedMlp = Child("shared_mlp", new GraniteMoeSharedMLP(config, description));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual =
        Layouts.Sequential("self_attn", _sharedMlp is null ? "block_sparse_moe" : "", scale: _residualMultiplier);

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                       // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        Tensor middle = hidden + attended * _residualMultiplier;                                            // [batch, seq, hidden]
        normal = _postAttentionLayernorm.Call(middle);                                                      // [batch, seq, hidden]
        Tensor changed = _blockSparseMoe.Call(normal);                                                      // [batch, seq, hidden]
        if (_sharedMlp is not null) changed = changed + _sharedMlp.Call(normal);                            // [batch, seq, hidden]
        Tensor output = middle + changed * _residualMultiplier;                                             // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope()];
    }
}

/// <summary>A gated mlp with gate and up in one projection.</summary>
public sealed partial class GraniteMoeSharedMLP : TensorModule
{
    private readonly Activation _activation;
    private readonly Linear _inputLinear, _outputLinear;
    private readonly FusedMlp _fusedMlp;

    internal GraniteMoeSharedMLP(GraniteMoeConfig config, DecoderDescription description)
    {
        ClassName = $"{description.Family}MLP";
        _activation = Child("activation", description.CreateActivation());
        _inputLinear = Child("input_linear", new Linear(config.HiddenSize, 2 * config.SharedIntermediateSize, bias: false));
        _outputLinear = Child("output_linear", new Linear(config.SharedIntermediateSize, config.HiddenSize, bias: false));
        _fusedMlp = new FusedMlp(this, _inputLinear, _outputLinear, _activation.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.GateUp("input_linear", "output_linear");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor[] gateAndUp = _inputLinear.Call(input).chunk(2, -1);                 // 2 x [batch, seq, intermediate]
        Tensor intermediate = _activation.Call(gateAndUp[0]) * gateAndUp[1];        // [batch, seq, intermediate]
        return _outputLinear.Call(intermediate).MoveToOuterDisposeScope();          // [batch, seq, hidden]
    }
}

/// <summary>The experts of a layer; the router sorts the pairs of token and expert by expert.</summary>
public sealed partial class GraniteMoeMoE : TensorModule
{
    private readonly Activation _activation;
    private readonly GraniteMoeParallelExperts _inputLinear, _outputLinear;
    private readonly GraniteMoeTopKGating _router;
    private readonly GraniteMoeExperts _experts;

    internal GraniteMoeMoE(GraniteMoeConfig config, DecoderDescription description)
    {
        ClassName = $"{description.Family}MoE";
        _activation = Child("activation", description.CreateActivation());
        _activation.SetAxes(Axes.Unknown); // pairs of tokens and experts
        _inputLinear = Child("input_linear", new GraniteMoeParallelExperts($"{description.Family}ParallelExperts",
            config.NumLocalExperts, config.HiddenSize, 2 * config.IntermediateSize));
        _outputLinear = Child("output_linear", new GraniteMoeParallelExperts($"{description.Family}ParallelExperts",
            config.NumLocalExperts, config.IntermediateSize, config.HiddenSize));
        _router = Child("router", new GraniteMoeTopKGating($"{description.Family}TopKGating", config));
        _experts = Child("experts", new GraniteMoeExperts(description.Family, this, [_activation, _inputLinear, _outputLinear],
            (_inputLinear.StackedWeight, _outputLinear.StackedWeight), _activation));
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (TryCallExperts(input) is { } routed) return routed;
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        object?[] routing = _router.Call(hidden);
        (var tokens, var gates, var counts) = ((Tensor)routing[1]!, (Tensor)routing[2]!, (object?[])routing[3]!);
        Tensor gateUp = _inputLinear.Call(hidden.index(TensorIndex.Tensor(tokens)), counts);        // [pairs, 2 intermediate]
        Tensor[] gateAndUp = gateUp.chunk(2, -1);                                                   // 2 x [pairs, intermediate]
        Tensor intermediate = _activation.Call(gateAndUp[0]) * gateAndUp[1];                        // [pairs, intermediate]
        Tensor outputs = _outputLinear.Call(intermediate, counts) * gates.unsqueeze(-1);            // [pairs, hidden]
        Tensor sums = zeros_like(hidden).index_add(0, tokens, outputs, 1);                          // [batch · seq, hidden]
        return sums.view(input.shape).MoveToOuterDisposeScope();                                    // [batch, seq, hidden]
    }

    /// <summary>Calls the experts one by one if a program uses one of them; otherwise null.</summary>
    [FastPath]
    private Tensor? TryCallExperts(Tensor input)
    {
        if (!_experts.IsHooked) return null;
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        object?[] routing = _router.Call(hidden);
        (var order, var gates, var counts) = ((Tensor)routing[0]!, (Tensor)routing[2]!, (object?[])routing[3]!);
        long[] experts = [.. counts.SelectMany((count, expert) => Enumerable.Repeat((long)expert, (int)(long)count!))];
        Tensor chosen = zeros_like(order).scatter(0, order, tensor(experts, device: order.device)); // [pairs]
        Tensor weights = zeros_like(gates).scatter(0, order, gates);                                // [pairs]
        Tensor outputs = _experts.Call(hidden, chosen.view(hidden.size(0), -1), weights.view(hidden.size(0), -1));
        return outputs.view(input.shape).MoveToOuterDisposeScope();                                 // [batch, seq, hidden]
    }
}

/// <summary>The experts of a layer as modules, whose weights are those of two modules beside it.</summary>
public sealed partial class GraniteMoeExperts : RoutedExperts, IFusedExperts
{
    private readonly GraniteMoeMoE _block;
    private readonly IReadOnlyList<SiteModule> _fusedParts;

    /// <param name="fusedParts">The modules that compute all experts together.</param>
    /// <param name="weights">[experts, 2 intermediate, hidden], [experts, hidden, intermediate]</param>
    internal GraniteMoeExperts(string family, GraniteMoeMoE block, IReadOnlyList<SiteModule> fusedParts,
        (Parameter GateUp, Parameter Down) weights, Activation activation)
    {
        (_block, _fusedParts, ClassName) = (block, fusedParts, $"{family}Experts");
        AddExperts((int)weights.Down.Shape[0],
            i => new GatedExpert($"{family}Expert", i, weights.GateUp, weights.Down, activation));
    }

    public override string ClassName { get; }

    /// <summary>Hugging Face's code has no module for the experts together.</summary>
    public override bool IsVirtual => true;

    /// <summary>Whether this module or an expert has a hook.</summary>
    internal bool IsHooked => Hook is not null || HasHookedExperts;

    IEnumerable<SiteModule> IFusedExperts.FusedParts => _fusedParts;

    SiteModule IFusedExperts.FusedForward => _block;

    protected override Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights) => CallExperts(hidden, topKIndex, topKWeights);
}

/// <summary>One product for each expert with its pairs, which are adjacent.</summary>
public sealed partial class GraniteMoeParallelExperts : SiteModule
{
    private readonly Parameter _weight; // [experts, outFeatures, inFeatures]

    internal GraniteMoeParallelExperts(string className, int numExperts, int inFeatures, int outFeatures)
    {
        ClassName = className;
        _weight = LinearWeight("weight", [numExperts, outFeatures, inFeatures], inFeaturesDim: 2);
    }

    /// <summary>[experts, outFeatures, inFeatures]</summary>
    internal Parameter StackedWeight => _weight;

    public override string ClassName { get; }

    public override bool ReturnsTensor => true;

    public override Axes OutputAxes(int element) => Axes.Unknown;

    public override Axes InputAxes(string argument) => Axes.Unknown;

    /// <param name="input">[pairs, inFeatures]</param>
    /// <param name="expertSize">The number of pairs of each expert.</param>
    /// <returns>[pairs, outFeatures]</returns>
    public Tensor Call(Tensor input, object?[] expertSize) => Hook is { } observer
        ? CallHooked<Tensor>(observer, new Arguments(input, expertSize)) : Forward(input, expertSize);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "inputs"), arguments.Tuple(1, "expert_size"));

    private Tensor Forward(Tensor input, object?[] expertSize)
    {
        using var scope = NewDisposeScope();
        Tensor weight = _weight.Value;
        List<Tensor> outputs = [];
        long at = 0;
        for (int expert = 0; expert < expertSize.Length; expert++)
        {
            long count = (long)expertSize[expert]!;
            if (count > 0) outputs.Add(LinearKernels.linear(input.narrow(0, at, count), weight[expert], null)); // [own pairs, outFeatures]
            at += count;
        }
        return cat(outputs, 0).MoveToOuterDisposeScope();                                           // [pairs, outFeatures]
    }
}

/// <summary>The experts with the highest logits of each token, as pairs sorted by expert.</summary>
public sealed partial class GraniteMoeTopKGating : SiteModule
{
    private readonly int _topK, _numExperts;
    private readonly Linear _layer;

    internal GraniteMoeTopKGating(string className, GraniteMoeConfig config)
    {
        (ClassName, _topK, _numExperts) = (className, config.NumExpertsPerToken, config.NumLocalExperts);
        _layer = Child("layer", new Linear(config.HiddenSize, config.NumLocalExperts, bias: false));
        _layer.SetAxes(Axes.Flat);
    }

    public override string ClassName { get; }

    public override Axes OutputAxes(int element) => element == 4 ? Axes.Flat : Axes.Unknown;

    public override Axes InputAxes(string argument) => Axes.Flat;

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <returns>
    /// A tuple: the order of the pairs by expert, the token and the weight of each, all [pairs]; the number of pairs of each expert; logits
    /// [batch · seq, experts].
    /// </returns>
    public object?[] Call(Tensor hidden) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden)) : Forward(hidden);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    private object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = _layer.Call(hidden).to(ScalarType.Float32);                                 // [batch · seq, experts]
        (Tensor best, Tensor chosen) = logits.topk(_topK, -1);                                      // 2 x [batch · seq, chosen]
        Tensor gates = nn.functional.softmax(best, -1).to(hidden.dtype).reshape(-1);                // [pairs]
        RoutedTokens routed = new(chosen, _numExperts);
        Tensor weights = gates.index(TensorIndex.Tensor(routed.Order));                             // [pairs]
        object?[] counts = [.. routed.Counts.Select(count => (object?)count)];
        return
        [
            routed.Order.MoveToOuterDisposeScope(), routed.Tokens.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), counts,
            logits.MoveToOuterDisposeScope(),
        ];
    }
}
