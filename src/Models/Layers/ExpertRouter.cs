using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Models.Layers;

/// <summary>A router that chooses the experts of each token itself.</summary>
public abstract class ExpertRouter : SiteModule
{
    public override Axes OutputAxes(int element) => Axes.Flat;

    public override Axes InputAxes(string argument) => Axes.Flat;

    /// <param name="hidden">[batch · seq, hidden]</param>
    /// <returns>
    /// A tuple: logits of all experts [batch · seq, experts], and weights and indices of the chosen, both [batch · seq, chosen].
    /// </returns>
    public object?[] Call(Tensor hidden) =>
        Hook is { } observer ? CallHooked<object?[]>(observer, new Arguments(hidden)) : Forward(hidden);

    public sealed override object? Run(Arguments arguments) => Forward(arguments.Tensor(0, "hidden_states"));

    protected abstract object?[] Forward(Tensor hidden);
}
