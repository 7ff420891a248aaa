using Ndif.Models.CpuKernels;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>down(activation(up(x))), followed by a dropout in some models.</summary>
/// <remarks>
/// GPT2MLP in transformers/models/gpt2/modeling_gpt2.py and its relatives; Hugging Face has one copy per model.
/// </remarks>
[SharedLayer]
public sealed partial class Mlp : TensorModule
{
    private readonly TensorModule _up, _down;
    private readonly Activation _activation;
    private readonly Dropout? _dropout;
    private readonly FusedMlp _fusedMlp;

    /// <param name="className">The class name in Hugging Face's code of the model: "GPT2MLP".</param>
    /// <param name="children">
    /// In the order of Hugging Face's constructor. The first linear layer goes up, the second down; there is an activation, and in some
    /// models a dropout.
    /// </param>
    public Mlp(string className, params ReadOnlySpan<(string Name, TensorModule Module)> children)
    {
        ClassName = className;
        foreach (var (name, module) in children) Child(name, module);
        ILinearLayer[] linear = [.. Children.OfType<ILinearLayer>()];
        (_up, _down) = ((TensorModule)linear[0], (TensorModule)linear[1]);
        _activation = Children.OfType<Activation>().Single();
        _dropout = Children.OfType<Dropout>().SingleOrDefault();
        _fusedMlp = new FusedMlp(this, null, linear[0], linear[1], _activation.Kind);
    }

    public override string ClassName { get; }

    protected internal override void DescribeLayout(Protocol.ModuleInfo info) =>
        info.Mlp = Layouts.Mlp(_up.Name, _down.Name);

    /// <param name="input">[batch, seq, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        if (_fusedMlp.TryForward(input) is { } fused) return fused;
        using var scope = NewDisposeScope();
        Tensor intermediate = _activation.Call(_up.Call(input));    // [batch, seq, intermediate]
        Tensor output = _down.Call(intermediate);                   // [batch, seq, hidden]
        if (_dropout is not null) output = _dropout.Call(output);   // [batch, seq, hidden]
        return output.MoveToOuterDisposeScope();
    }
}
