using Ndif.Recording;

namespace Ndif;

// How the methods of this folder are recorded; each is one row of the op table.
public partial class Value
{
    /// <summary>Asks autograd to follow this value from here on. PyTorch's <c>requires_grad_(Tensor self, bool requires_grad=True) -&gt; Tensor</c></summary>
    public Value RequiresGrad(bool requiresGrad = true) => Record("requires_grad_", [this], ("requires_grad", requiresGrad ? null : false));

    /// <summary>The two parts of a result such as <see cref="TopK"/>'s: <c>var (values, indices) = x.TopK(5);</c></summary>
    public void Deconstruct(out Value first, out Value second) => (first, second) = (this[0], this[1]);

    /// <summary>The three parts of a result.</summary>
    public void Deconstruct(out Value first, out Value second, out Value third) => (first, second, third) = (this[0], this[1], this[2]);

    internal static Value Record(string op, object?[] arguments, params ReadOnlySpan<(string Name, object? Value)> keywords) =>
        Recorder.Current(arguments.OfType<Value>().FirstOrDefault(), $"`{op}`").Call(op, arguments, keywords);
}
