using Ndif.Recording;

namespace Ndif;

// The methods of PyTorch's tensors. All but those of this file are generated from the op table (docs/checklists/add-an-op.md).
public partial class Value
{
    /// <summary>Exchanges the last two dimensions. <para>PyTorch: <c>mT(Tensor self) -&gt; Tensor</c></para></summary>
    public Value MT => Record("mT", [this]);

    /// <summary>The two parts of a result such as that of <see cref="TopK"/>: <c>var (values, indices) = x.TopK(5);</c></summary>
    public void Deconstruct(out Value first, out Value second) => (first, second) = (this[0], this[1]);

    /// <summary>The three parts of a result such as that of <see cref="Op.LinalgSvd"/>.</summary>
    public void Deconstruct(out Value first, out Value second, out Value third) => (first, second, third) = (this[0], this[1], this[2]);

    /// <summary>
    /// Records a call of an operation. A keyword whose value is null is left out. Outside of a trace, an operation on results is computed
    /// (<see cref="ResultOperations"/>).
    /// </summary>
    internal static Value Record(string op, object?[] arguments, params ReadOnlySpan<(string Name, object? Value)> keywords) =>
        ResultOperations.Applies(arguments) ? ResultOperations.Compute(op, arguments, keywords)
            : Recorder.Current(FindOpen(arguments), $"`{op}`").Call(op, arguments, keywords);

    /// <summary>The value whose trace is open, or any other.</summary>
    private static Value? FindOpen(object?[] arguments) =>
        arguments.OfType<Value>().OrderByDescending(value => value.Recorder is { IsOpen: true }).FirstOrDefault();
}
