using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>A layer's experts with their router; in some models also an expert for all tokens.</summary>
/// <remarks>MixtralSparseMoeBlock in transformers/models/mixtral/modeling_mixtral.py and its relatives</remarks>
[SharedLayer]
public sealed partial class SparseMoeBlock : TensorModule
{
    private readonly ExpertRouter _gate;
    private readonly Experts _experts;
    private readonly TensorModule? _sharedExpert;
    private readonly Linear? _sharedExpertGate;

    /// <param name="className">The class name in Hugging Face's code of the model: "MixtralSparseMoeBlock".</param>
    /// <param name="isExpertsFirst">Whether Hugging Face's constructor creates the experts before the router.</param>
    /// <param name="gateName">The name of the router.</param>
    /// <param name="sharedExpert">Maps [batch · seq, hidden] to the same shape.</param>
    public SparseMoeBlock(string className, ExpertRouter gate, Experts experts, bool isExpertsFirst = false,
        TensorModule? sharedExpert = null, int hiddenSize = 0, string gateName = "gate")
    {
        ClassName = className;
        if (isExpertsFirst) Child("experts", experts);
        _gate = Child(gateName, gate);
        _experts = isExpertsFirst ? experts : Child("experts", experts);
        if (sharedExpert is null) return;
        _sharedExpert = Child("shared_expert", sharedExpert);
        _sharedExpertGate = Child("shared_expert_gate", new Linear(hiddenSize, 1, bias: false));
        _sharedExpert.SetAxes(Axes.Flat);
        _sharedExpertGate.SetAxes(Axes.Flat);
    }

    public override string ClassName { get; }

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = input.reshape(-1, input.size(2));                                           // [batch · seq, hidden]
        Tensor? shared = null;
        if (_sharedExpert is not null) shared = _sharedExpert.Call(hidden);                         // [batch · seq, hidden]
        object?[] routing = _gate.Call(hidden);                                                     // logits, weights, chosen experts
        Tensor output = _experts.Call(hidden, (Tensor)routing[2]!, (Tensor)routing[1]!);            // [batch · seq, hidden]
        if (_sharedExpertGate is not null) output = output + _sharedExpertGate.Call(hidden).sigmoid() * shared!;
        return output.view(input.shape).MoveToOuterDisposeScope();                                  // [batch, seq, hidden]
    }
}
