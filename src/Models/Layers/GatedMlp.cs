using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>down(activation(gate(x)) · up(x))</summary>
/// <remarks>LlamaMLP in transformers/models/llama/modeling_llama.py; Hugging Face has one copy per model.</remarks>
[SharedLayer]
public sealed partial class GatedMlp : TensorModule
{
    private readonly Linear _gateProj, _upProj, _downProj;
    private readonly Activation _actFn;
    private readonly FusedMlp _fusedMlp;

    /// <param name="className">The class name in Hugging Face's code of the model: "LlamaMLP".</param>
    public GatedMlp(string className, int hiddenSize, int intermediateSize, Activation activation, bool bias = false)
    {
        ClassName = className;
        _gateProj = Child("gate_proj", new Linear(hiddenSize, intermediateSize, bias));
        _upProj = Child("up_proj", new Linear(hiddenSize, intermediateSize, bias));
        _downProj = Child("down_proj", new Linear(intermediateSize, hiddenSize, bias));
        _actFn = Child("act_fn", activation);
        _fusedMlp = new FusedMlp(this, _gateProj, _upProj, _downProj, _actFn.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp("up_proj", "down_proj", "gate_proj");

    /// <summary>The input may be flat, [batch · seq, hidden]: that of an expert for all tokens is.</summary>
    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor gate = _actFn.Call(_gateProj.Call(input));               // [..., intermediate]
        Tensor intermediate = gate * _upProj.Call(input);               // [..., intermediate]
        return _downProj.Call(intermediate).MoveToOuterDisposeScope();  // [..., hidden]
    }
}
