using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>A layer's experts with their router, and an mlp for all tokens, which is added to them.</summary>
/// <remarks>DeepseekV3MoE in transformers/models/deepseek_v3/modeling_deepseek_v3.py and its relatives</remarks>
[SharedLayer]
public sealed partial class SharedExpertsMoe : TensorModule
{
    private readonly Experts _experts;
    private readonly LinearRouter _gate;
    private readonly TensorModule? _sharedExperts;
    private readonly ExpertRouting _routing;

    /// <param name="className">The class name in Hugging Face's code of the model: "DeepseekV3MoE".</param>
    /// <param name="sharedExperts">Null if the model has none.</param>
    public SharedExpertsMoe(string className, Experts experts, LinearRouter gate, TensorModule? sharedExperts, ExpertRouting routing)
    {
        (ClassName, _routing) = (className, routing);
        _experts = Child("experts", experts);
        _gate = Child("gate", gate);
        _sharedExperts = sharedExperts is null ? null : Child("shared_experts", sharedExperts);
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor logits = _gate.Call(input);                                                          // [batch · seq, experts]
        var (indices, weights) = _routing.Route(logits, _gate.CorrectionBias?.Value);               // 2 x [batch · seq, chosen]
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor output = _experts.Call(hidden, indices, weights).view(input.shape);                  // [batch, seq, hidden]
        if (_sharedExperts is not null) output = output + _sharedExperts.Call(input);               // [batch, seq, hidden]
        return output.MoveToOuterDisposeScope();
    }
}
