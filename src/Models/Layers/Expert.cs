using Ndif.Models.CpuKernels;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// One of the experts of a layer as a module of its own, with the tokens that are routed to it. Hugging Face's code computes all experts of
/// a layer in one module; so does this code where no expert has a hook.
/// </summary>
/// <param name="className">"MixtralExpert"</param>
/// <param name="index">The number of the expert in its layer.</param>
/// <param name="weights">The matrices of all experts of the layer: [experts, ..., ...].</param>
public abstract class Expert(string className, int index, params IReadOnlyList<Parameter> weights) : SiteModule
{
    /// <summary>The matrices of all experts of the layer: [experts, ..., ...].</summary>
    internal IReadOnlyList<Parameter> StackedWeights => weights;

    public override string ClassName { get; } = className;

    public sealed override bool IsVirtual => true;

    public override bool ReturnsTensor => true;

    protected int ExpertIndex => index;

    public override Axes OutputAxes(int element) => Axes.Routed;

    public override Axes InputAxes(string argument) => argument is "1" or "token_idx" ? Axes.RoutedIndex : Axes.Routed;

    /// <param name="input">[routed, hidden]</param>
    /// <param name="tokenIdx">[routed] int64: the tokens among all of the pass, ascending</param>
    /// <returns>[routed, hidden], not yet multiplied by the weights of the router</returns>
    internal Tensor Call(Tensor input, Tensor tokenIdx) =>
        Hook is { } hook ? CallHooked<Tensor>(hook, new Arguments(input, tokenIdx)) : Forward(input);

    public sealed override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    protected abstract Tensor Forward(Tensor input);
}

/// <summary>down(activation(gate(x)) · up(x)) with the weights of one expert.</summary>
/// <param name="gateUpProj">[experts, 2 intermediate, hidden]</param>
/// <param name="downProj">[experts, hidden, intermediate]</param>
public sealed partial class GatedExpert(string className, int index, Parameter gateUpProj, Parameter downProj, Activation activation) :
    Expert(className, index, gateUpProj, downProj)
{
    /// <param name="input">[routed, hidden]</param>
    /// <returns>[routed, hidden]</returns>
    protected override Tensor Forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        Tensor gateUpWeight = gateUpProj.Value[ExpertIndex], downWeight = downProj.Value[ExpertIndex];
        Tensor[] gateAndUp = LinearKernels.linear(input, gateUpWeight, null).chunk(2, -1);  // 2 x [routed, intermediate]
        Tensor intermediate = activation.Apply(gateAndUp[0]) * gateAndUp[1];                // [routed, intermediate]
        return LinearKernels.linear(intermediate, downWeight, null).MoveToOuterDisposeScope(); // [routed, hidden]
    }
}
