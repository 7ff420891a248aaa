using Ndif.Models.Config;
using Ndif.Models.Layers;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>Hunyuan with experts: a dense Hunyuan whose layers have experts beside an mlp for all tokens.</summary>
/// <remarks>transformers/models/hunyuan_v1_moe/modeling_hunyuan_v1_moe.py; Tencent, Hunyuan-A13B, 2025</remarks>
[Architecture("HunYuanMoEV1ForCausalLM", ModelType = "hunyuan_v1_moe")]
public sealed class HunYuanMoEV1ForCausalLM(ConfigReader json) : DecoderForCausalLM(Describe(new HunYuanV1Config(json)))
{
    private static DecoderDescription Describe(HunYuanV1Config config) => config.Describe("HunYuanMoEV1") with
    {
        CreateMlp = (description, layer) => new HunYuanMoEV1Moe(config, description, layer),
    };
}

public sealed partial class HunYuanMoEV1Moe : TensorModule
{
    private readonly HunYuanMoEV1Gate _gate;
    private readonly Experts _experts;
    private readonly GatedMlp _sharedMlp;
    private readonly ExpertRouting _routing;

    internal HunYuanMoEV1Moe(HunYuanV1Config config, DecoderDescription description, int layer)
    {
        int numExperts = config.Json.Size("num_experts", 1);
        _routing = new ExpertRouting(OfLayer("moe_topk", 1)) { NormTopKProb = true, NormEpsilon = 0 };
        _gate = Child("gate", new HunYuanMoEV1Gate(config.HiddenSize, numExperts));
        _experts = Child("experts", new Experts("HunYuanMoEV1Experts", numExperts, config.HiddenSize, config.IntermediateSize,
            description.CreateActivation(), ("gate_proj", "up_proj", "down_proj")));
        _sharedMlp = Child("shared_mlp",
            new GatedMlp("HunYuanMoEV1MLP", config.HiddenSize, config.IntermediateSize, description.CreateActivation()));

        // one number, or one for each layer
        int OfLayer(string key, int otherwise) => config.Json.Ids(key) is { Count: > 0 } sizes ? sizes[Math.Min(layer, sizes.Count - 1)]
            : otherwise;
    }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor shared = _sharedMlp.Call(input);                                                     // [batch, seq, hidden]
        Tensor logits = _gate.Call(input);                                                          // [batch · seq, experts]
        var (indices, weights) = _routing.Route(logits, null);                                      // 2 x [batch · seq, chosen]
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor output = _experts.Call(hidden, indices, weights).view(input.shape);                  // [batch, seq, hidden]
        return (output + shared).MoveToOuterDisposeScope();                                         // [batch, seq, hidden]
    }
}

/// <summary>The logits of the experts, in float32.</summary>
public sealed partial class HunYuanMoEV1Gate : TensorModule
{
    private readonly Linear _wg;

    internal HunYuanMoEV1Gate(int hiddenSize, int numExperts)
    {
        _wg = Child("wg", new Linear(hiddenSize, numExperts, bias: false));
        _wg.SetAxes(Axes.Flat);
    }

    public override Axes OutputAxes(int element) => Axes.Flat;

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch · seq, experts]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor flat = input.reshape(-1, input.size(-1));                                            // [batch · seq, hidden]
        return _wg.Call(flat).to(ScalarType.Float32).MoveToOuterDisposeScope();                     // [batch · seq, experts]
    }
}
