using Ndif.Models.Config;
using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The config.json of a gpt-oss.</summary>
/// <remarks>transformers/models/gpt_oss/configuration_gpt_oss.py</remarks>
public sealed record GptOssConfig(ConfigReader Json) : DecoderConfig(Json, new()
{
    VocabSize = 201088, MaxPositions = 131072, HiddenSize = 2880, IntermediateSize = 2880, NumLayers = 36, NumHeads = 64, NumKvHeads = 8,
    HeadDim = 64, NormEps = 1e-5, RopeTheta = 150000,
})
{
    public bool AttentionBias => Json.Flag("attention_bias", true);

    public int NumLocalExperts => Json.Size("num_local_experts", 128);

    public int NumExpertsPerToken => Json.Size("num_experts_per_tok", 4);

    /// <summary>The limit of gate and up.</summary>
    public double SwigluLimit => Json.Real("swiglu_limit", 7.0);

    public int?[] Windows
    {
        get
        {
            IReadOnlyList<string> types = SlidingWindows.LayerTypes(Json, NumLayers);
            int window = Json.Size("sliding_window", 128);
            return [.. Enumerable.Range(0, NumLayers).Select(layer =>
                (types.Count > 0 ? types[layer] == "sliding_attention" : layer % 2 == 0) ? window : (int?)null)];
        }
    }
}

/// <summary>gpt-oss: a sink in each head's softmax, every other layer with a window, and experts with biases and a limited gate.</summary>
/// <remarks>transformers/models/gpt_oss/modeling_gpt_oss.py; OpenAI, gpt-oss model card, 2025</remarks>
[Architecture("GptOssForCausalLM", ModelType = "gpt_oss")]
public sealed class GptOssForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new GptOssConfig(json)))
{
    private static DecoderDescription Describe(GptOssConfig config) => new(config, "GptOss")
    {
        QkvBias = config.AttentionBias, OutputBias = config.AttentionBias, Norm = NormKind.RmsRoundedOnce, Windows = config.Windows,
        RotaryPairs = RotaryPairs.HalvesOnce, PassesPositionIdsByPosition = true, PassesRouterLogits = true,
        CreateLayer = (description, layer) => new GptOssDecoderLayer(config, description, layer),
    };
}

public sealed partial class GptOssDecoderLayer : DecoderBlock
{
    private readonly GptOssAttention _selfAttn;
    private readonly GptOssMLP _mlp;
    private readonly TensorModule _inputLayernorm, _postAttentionLayernorm;

    internal GptOssDecoderLayer(GptOssConfig config, DecoderDescription description, int layer) : base(description)
    {
        _selfAttn = Child("self_attn", new GptOssAttention(description, layer));
        _mlp = Child("mlp", new GptOssMLP(config));
        _inputLayernorm = Child("input_layernorm", description.CreateNorm(config.HiddenSize));
        _postAttentionLayernorm = Child("post_attention_layernorm", description.CreateNorm(config.HiddenSize));
    }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Residual = Layouts.Sequential("self_attn", "mlp");

    protected override object?[] Forward(Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor normal = _inputLayernorm.Call(hidden);                                                       // [batch, seq, hidden]
        var attended = (Tensor)_selfAttn.Call(normal, mask, positionIds, cache, positionEmbeddings)[0]!;    // [batch, seq, hidden]
        Tensor middle = hidden + attended;                                                                  // [batch, seq, hidden]
        var changed = (Tensor)_mlp.Call(_postAttentionLayernorm.Call(middle))[0]!;                          // [batch, seq, hidden]
        return [(middle + changed).MoveToOuterDisposeScope()];                                              // [batch, seq, hidden]
    }
}

/// <summary>Attention whose softmax has one score more in each head, the sink, which takes probability and gives nothing.</summary>
public sealed partial class GptOssAttention : DecoderAttention
{
    private readonly Parameter _sinks; // [heads]
    private readonly Linear _qProj, _kProj, _vProj, _oProj;

    internal GptOssAttention(DecoderDescription description, int layer) : base(description, layer)
    {
        int hiddenSize = description.Config.HiddenSize;
        _sinks = Weight("sinks", NumHeads);
        _qProj = Child("q_proj", new Linear(hiddenSize, NumHeads * HeadDim, description.QkvBias));
        _kProj = Child("k_proj", new Linear(hiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _vProj = Child("v_proj", new Linear(hiddenSize, NumKvHeads * HeadDim, description.QkvBias));
        _oProj = Child("o_proj", new Linear(NumHeads * HeadDim, hiddenSize, description.OutputBias));
    }

    protected override object?[] Forward(
        Tensor hidden, Tensor mask, Tensor positionIds, KeyValueCache? cache, object?[] positionEmbeddings)
    {
        using var scope = NewDisposeScope();
        Tensor query = EagerAttention.SplitHeads(_qProj.Call(hidden), NumHeads, HeadDim);       // [batch, heads, seq, headDim]
        Tensor key = EagerAttention.SplitHeads(_kProj.Call(hidden), NumKvHeads, HeadDim);       // [batch, kvHeads, seq, headDim]
        Tensor value = EagerAttention.SplitHeads(_vProj.Call(hidden), NumKvHeads, HeadDim);     // [batch, kvHeads, seq, headDim]
        query = Rotate(query, positionEmbeddings);                                              // [batch, heads, seq, headDim]
        key = Rotate(key, positionEmbeddings);                                                  // [batch, kvHeads, seq, headDim]
        if (cache is not null) (key, value) = cache.Update(Layer, key, value);
        var (mixed, probabilities) = Attend(query, key, value, mask, Scale);
        Tensor output = _oProj.Call(mixed.flatten(2));                                          // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), probabilities.MoveToOuterDisposeScope()];
    }

    /// <summary>Softmax over the scores and the sink, whose probability is left out.</summary>
    /// <param name="query">[batch, heads, seq, headDim]</param>
    /// <param name="key">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="value">[batch, kvHeads, kvSeq, headDim]</param>
    /// <param name="mask">[batch, 1, seq, kvSeq]</param>
    /// <returns>The output [batch, seq, heads, headDim] and the probabilities [batch, heads, seq, kvSeq].</returns>
    [Operation("attention_interface")]
    private (Tensor Output, Tensor Probabilities) Attend(Tensor query, Tensor key, Tensor value, Tensor mask, double scale)
    {
        query = SourceLabel.Of("q", query);
        key = SourceLabel.Of("k", key);
        value = SourceLabel.Of("v", value);
        Tensor scores = EagerAttention.Scores(query, key) * scale + mask;                       // [batch, heads, seq, kvSeq]
        scores = SourceLabel.Of("scores", scores);
        Tensor sinks = _sinks.Value.view(1, -1, 1, 1).expand(query.size(0), -1, query.size(2), -1); // [batch, heads, seq, 1]
        Tensor all = cat([scores, sinks], -1);                                                  // [batch, heads, seq, kvSeq + 1]
        all = nn.functional.softmax(all - all.amax([-1L], keepdim: true), -1);                  // [batch, heads, seq, kvSeq + 1]
        Tensor probabilities = all.narrow(-1, 0, scores.size(-1)).to(value.dtype);              // [batch, heads, seq, kvSeq]
        probabilities = SourceLabel.Of("probs", probabilities);
        Tensor output = EagerAttention.Mix(probabilities, value).transpose(1, 2).contiguous();  // [batch, seq, heads, headDim]
        return (output, probabilities);
    }

    /// <summary>Rotates both halves of a head by cosines and sines of half its size.</summary>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">2 x [batch, seq, headDim/2]</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    private static Tensor Rotate(Tensor x, object?[] positionEmbeddings)
    {
        Tensor cosines = ((Tensor)positionEmbeddings[0]!).unsqueeze(1);                         // [batch, 1, seq, headDim/2]
        Tensor sines = ((Tensor)positionEmbeddings[1]!).unsqueeze(1);                           // [batch, 1, seq, headDim/2]
        Tensor[] halves = x.chunk(2, -1);                                                       // 2 x [batch, heads, seq, headDim/2]
        return cat([halves[0] * cosines - halves[1] * sines, halves[1] * cosines + halves[0] * sines], -1);
    }
}

public sealed partial class GptOssMLP : SiteModule
{
    private readonly GptOssTopKRouter _router;
    private readonly GptOssExperts _experts;

    internal GptOssMLP(GptOssConfig config)
    {
        _router = Child("router", new GptOssTopKRouter(config));
        _experts = Child("experts", new GptOssExperts(config));
    }

    public override Axes OutputAxes(int element) => element == 1 ? Axes.Flat : Axes.Hidden;

    /// <returns>A tuple: output [batch, seq, hidden], weights of the chosen experts [batch · seq, chosen].</returns>
    public object?[] Call(Tensor input) => Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(input)) : Forward(input);

    public override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    private object?[] Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                       // [batch · seq, hidden]
        object?[] routing = _router.Call(hidden);                                               // logits, weights, chosen experts
        Tensor weights = (Tensor)routing[1]!, indices = (Tensor)routing[2]!;                    // 2 x [batch · seq, chosen]
        Tensor output = _experts.Call(hidden, indices, weights).view(input.shape);              // [batch, seq, hidden]
        return [output.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope()];
    }
}

/// <summary>The experts with the highest logits; their weights are the softmax over these.</summary>
public sealed partial class GptOssTopKRouter : ExpertRouter
{
    private readonly int _topK;
    private readonly Parameter _weight; // [experts, hidden]
    private readonly Parameter _bias;   // [experts]

    internal GptOssTopKRouter(GptOssConfig config)
    {
        _topK = config.NumExpertsPerToken;
        _weight = Weight("weight", config.NumLocalExperts, config.HiddenSize);
        _bias = Weight("bias", config.NumLocalExperts);
    }

    protected override object?[] Forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor logits = nn.functional.linear(hidden, _weight.Value, _bias.Value);               // [batch · seq, experts]
        (Tensor best, Tensor chosen) = logits.topk(_topK, -1);                                  // 2 x [batch · seq, chosen]
        Tensor weights = nn.functional.softmax(best, -1);                                       // [batch · seq, chosen]
        return [logits.MoveToOuterDisposeScope(), weights.MoveToOuterDisposeScope(), chosen.MoveToOuterDisposeScope()];
    }
}

/// <summary>
/// (up + 1) · gate · sigmoid(1.702 gate), with gate at most the limit and up within it. Gate and up alternate in the first product.
/// </summary>
public sealed partial class GptOssExperts : RoutedExperts
{
    internal const double Alpha = 1.702;

    private readonly double _limit;
    private readonly Parameter _gateUpProj;     // [experts, hidden, 2 intermediate]
    private readonly Parameter _gateUpProjBias; // [experts, 2 intermediate]
    private readonly Parameter _downProj;       // [experts, intermediate, hidden]
    private readonly Parameter _downProjBias;   // [experts, hidden]

    internal GptOssExperts(GptOssConfig config)
    {
        (int experts, int hidden, int intermediate) = (config.NumLocalExperts, config.HiddenSize, config.IntermediateSize);
        _limit = config.SwigluLimit;
        _gateUpProj = LinearWeight("gate_up_proj", [experts, hidden, 2 * intermediate], inFeaturesDim: 1);
        _gateUpProjBias = Weight("gate_up_proj_bias", experts, 2 * intermediate);
        _downProj = LinearWeight("down_proj", [experts, intermediate, hidden], inFeaturesDim: 1);
        _downProjBias = Weight("down_proj_bias", experts, hidden);
        AddExperts(experts, i => new GptOssExpert(i, _limit, (_gateUpProj, _gateUpProjBias), (_downProj, _downProjBias)));
    }

    protected override string IndexArgument => "router_indices";

    protected override string WeightsArgument => "routing_weights";

    protected override Tensor Forward(Tensor hidden, Tensor topKIndex, Tensor topKWeights)
    {
        using var scope = NewDisposeScope();
        RoutedTokens routed = new(topKIndex, _downProj.Shape[0]);
        (Tensor gateUpProj, Tensor downProj) = (_gateUpProj.Value, _downProj.Value);
        Tensor gateUp = routed.Multiply(routed.Select(hidden),
            (expert, own) => LinearKernels.addmm(_gateUpProjBias.Value[expert], own, gateUpProj[expert])); // [pairs, 2 intermediate]
        Tensor pairs = gateUp.view(gateUp.size(0), -1, 2);                                      // [pairs, intermediate, 2]
        Tensor gate = pairs.select(2, 0).clamp_max(_limit);                                     // [pairs, intermediate]
        Tensor up = pairs.select(2, 1).clamp(-_limit, _limit);                                  // [pairs, intermediate]
        Tensor intermediate = (up + 1) * (gate * (gate * Alpha).sigmoid());                     // [pairs, intermediate]
        Tensor outputs = routed.Multiply(intermediate,
            (expert, own) => LinearKernels.addmm(_downProjBias.Value[expert], own, downProj[expert])); // [pairs, hidden]
        return routed.Combine(outputs, topKWeights).to(hidden.dtype).MoveToOuterDisposeScope(); // [batch · seq, hidden]
    }
}

/// <summary>The same with the weights of one expert.</summary>
/// <param name="gateUp">[experts, hidden, 2 intermediate], [experts, 2 intermediate]</param>
/// <param name="down">[experts, intermediate, hidden], [experts, hidden]</param>
public sealed partial class GptOssExpert(
    int index, double limit, (Parameter Weight, Parameter Bias) gateUp, (Parameter Weight, Parameter Bias) down) :
    Expert("GptOssExpert", index, gateUp.Weight, down.Weight)
{
    /// <param name="input">[routed, hidden]</param>
    /// <returns>[routed, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor gateUpWeight = gateUp.Weight.Value[ExpertIndex], gateUpBias = gateUp.Bias.Value[ExpertIndex];
        Tensor downWeight = down.Weight.Value[ExpertIndex], downBias = down.Bias.Value[ExpertIndex];
        Tensor rows = input.reshape(-1, input.size(-1));                                        // [routed, hidden]
        Tensor both = LinearKernels.addmm(gateUpBias, rows, gateUpWeight);                      // [routed, 2 intermediate]
        Tensor pairs = both.view(both.size(0), both.size(1) / 2, 2);                            // [routed, intermediate, 2]
        Tensor gate = pairs.select(2, 0).clamp_max(limit);                                      // [routed, intermediate]
        Tensor up = pairs.select(2, 1).clamp(-limit, limit);                                    // [routed, intermediate]
        Tensor intermediate = (up + 1) * (gate * (gate * GptOssExperts.Alpha).sigmoid());       // [routed, intermediate]
        Tensor output = LinearKernels.addmm(downBias, intermediate, downWeight);                // [routed, hidden]
        return output.view(input.shape).MoveToOuterDisposeScope();                              // [routed, hidden]
    }
}
