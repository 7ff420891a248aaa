using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>A module with one tensor as input and one as output: a linear layer, a norm, an activation.</summary>
public abstract class TensorModule : SiteModule
{
    public Tensor Call(Tensor input) => Hook is { } hook ? CallHooked<Tensor>(hook, new Arguments(input)) : Forward(input);

    /// <summary>The batch and token dimensions of the input and the output.</summary>
    public Axes Axes { get; protected set; } = Axes.Hidden;

    public override Axes OutputAxes(int element) => ResolveTokens(Axes);

    public override Axes InputAxes(string argument) => ResolveTokens(Axes);

    public override bool ReturnsTensor => true;

    /// <summary>Sets the axes of this module and of its children, where the input is not [batch, seq, ...].</summary>
    internal void SetAxes(Axes axes)
    {
        Axes = axes;
        foreach (TensorModule child in Children.OfType<TensorModule>()) child.SetAxes(axes);
    }

    protected abstract Tensor Forward(Tensor input);

    public sealed override object? Run(Arguments arguments) => Forward(arguments.Tensor(0));
}
