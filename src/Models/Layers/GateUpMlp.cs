using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>down(activation(gate) · up), with gate and up in one projection, in this order.</summary>
/// <remarks>Phi3MLP in transformers/models/phi3/modeling_phi3.py; Hugging Face has one copy per model.</remarks>
[SharedLayer]
public sealed partial class GateUpMlp : TensorModule
{
    private readonly Linear _gateUpProj, _downProj;
    private readonly Activation _activationFn;
    private readonly FusedMlp _fusedMlp;

    /// <param name="className">The class name in Hugging Face's code of the model: "Phi3MLP".</param>
    public GateUpMlp(string className, int hiddenSize, int intermediateSize, Activation activation)
    {
        ClassName = className;
        _gateUpProj = Child("gate_up_proj", new Linear(hiddenSize, 2 * intermediateSize, bias: false));
        _downProj = Child("down_proj", new Linear(intermediateSize, hiddenSize, bias: false));
        _activationFn = Child("activation_fn", activation);
        _fusedMlp = new FusedMlp(this, _gateUpProj, _downProj, _activationFn.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.GateUp("gate_up_proj", "down_proj");

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor[] gateAndUp = _gateUpProj.Call(input).chunk(2, -1);                  // 2 x [batch, seq, intermediate]
        Tensor intermediate = gateAndUp[1] * _activationFn.Call(gateAndUp[0]);      // [batch, seq, intermediate]
        return _downProj.Call(intermediate).MoveToOuterDisposeScope();              // [batch, seq, hidden]
    }
}
