using Ndif.Models.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// A layer's mlp in two stages: down(curve(up(x))), or down(curve(gate(x)) · up(x)). Between them nothing is a tensor. Each core takes a
/// range of the inner numbers through the first stage, activation included, while they are in its cache.
/// </summary>
/// <remarks>
/// For when nobody watches inside. Rounds where the plain forward does, so that a bfloat16 model's numbers are those of the plain forward
/// up to the order of sums.
/// </remarks>
internal sealed unsafe class FusedMlp
{
    private readonly SiteModule _owner;
    private readonly ILinear? _gate;
    private readonly ILinear _up, _down;
    private readonly Curve? _curve;
    private readonly bool _both;

    /// <param name="gate">Null for an mlp without one.</param>
    public FusedMlp(SiteModule owner, ILinear? gate, ILinear up, ILinear down, Curve? curve) =>
        (_owner, _gate, _up, _down, _curve) = (owner, gate, up, down, curve);

    /// <param name="gateAndUp">One matrix for both, the gate's outputs first.</param>
    public FusedMlp(SiteModule owner, ILinear gateAndUp, ILinear down, Curve? curve) : this(owner, null, gateAndUp, down, curve) => _both = true;

    /// <param name="input">[..., width]</param>
    /// <returns>[..., width], or null if the plain forward has to run.</returns>
    [Shortcut]
    public Tensor? Run(Tensor input)
    {
        if (_curve is not { } curve || !Products.Suits(input) || SiteObserver.IsWatchedWithin(_owner)) return null;
        ScalarType type = input.dtype;
        if (_up.View is not { } up || _down.View is not { } down || up.Type != type || down.Type != type || input.size(-1) != up.Inputs) return null;
        WeightView? gate = null;
        if (_both)
        {
            if (up.ByColumns) return null;
            (gate, up) = (up.Slice(0, up.Outputs / 2), up.Slice(up.Outputs / 2, up.Outputs / 2));
        }
        else if (_gate is not null)
        {
            if (_gate.View is not { } own || own.Type != type || own.Outputs != up.Outputs) return null;
            gate = own;
        }
        long count = input.numel() / up.Inputs;
        if (down.Inputs != up.Outputs) return null;
        if (count > Products.MostRows(type)) return null;
        int rows = (int)count, inner = up.Outputs;
        bool round = type == ScalarType.BFloat16;
        using Tensor x = input.contiguous();
        long[] shape = input.shape;
        shape[^1] = down.Outputs;
        Tensor output = empty(shape, type);
        InputRows from = InputRows.Of(x, up);
        float* middle = Scratch.Floats(1, (long)rows * inner);

        int parts = up.Parts(rows);
        Crew.Run(parts, part =>
        {
            var (first, last) = up.Part(part, parts);
            int width = last - first;
            if (gate is not { } open)
            {
                up.Multiply(from, middle, inner, first, last);
                for (int m = 0; m < rows; m++) Curves.Apply(curve, middle + (long)m * inner + first, width, round);
                return;
            }
            float* other = Scratch.Floats(2, (long)rows * width);
            open.Multiply(from, middle, inner, first, last);
            up.Multiply(from, other - first, width, first, last);
            for (int m = 0; m < rows; m++) Curves.Gate(curve, middle + (long)m * inner + first, other + (long)m * width, width, round);
        }, gate?.Address ?? up.Address);
        Products.Multiply(down, middle, rows, NativeTensor.Data(output.Handle));
        GC.KeepAlive(x);
        Shortcuts.Taken++;
        return output;
    }
}
