using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

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
    private readonly SiteModule _module;
    private readonly ILinearLayer? _gate;
    private readonly ILinearLayer _up, _down;
    private readonly ActivationKind? _activation;
    private readonly bool _hasFusedGateUp;

    /// <param name="gate">Null for an mlp without one.</param>
    public FusedMlp(SiteModule module, ILinearLayer? gate, ILinearLayer up, ILinearLayer down, ActivationKind? activation) =>
        (_module, _gate, _up, _down, _activation) = (module, gate, up, down, activation);

    /// <param name="gateAndUp">One matrix for both, the gate's outputs first.</param>
    public FusedMlp(SiteModule module, ILinearLayer gateAndUp, ILinearLayer down, ActivationKind? activation) : this(module, null, gateAndUp, down, activation) => _hasFusedGateUp = true;

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden], or null if the plain forward has to run.</returns>
    [FastPath]
    public Tensor? TryForward(Tensor input)
    {
        if (_activation is not { } curve || !LinearKernels.Supports(input) || SiteHook.HasHooksInside(_module)) return null;
        ScalarType type = input.dtype;
        if (_up.View is not { } up || _down.View is not { } down || up.DType != type || down.DType != type || input.size(-1) != up.InFeatures) return null;
        WeightView? gate = null;
        if (_hasFusedGateUp)
        {
            if (up.IsInputMajor) return null;
            (gate, up) = (up.Slice(0, up.OutFeatures / 2), up.Slice(up.OutFeatures / 2, up.OutFeatures / 2));
        }
        else if (_gate is not null)
        {
            if (_gate.View is not { } own || own.DType != type || own.OutFeatures != up.OutFeatures) return null;
            gate = own;
        }
        long count = input.numel() / up.InFeatures;
        if (down.InFeatures != up.OutFeatures) return null;
        if (count > LinearKernels.MaxRows(type)) return null;
        int rows = (int)count, inner = up.OutFeatures;
        bool round = type == ScalarType.BFloat16;
        using Tensor x = input.contiguous();
        long[] shape = input.shape;
        shape[^1] = down.OutFeatures;
        Tensor output = empty(shape, type);
        GemmInput from = GemmInput.Create(x, up);
        float* middle = ScratchBuffer.GetFloats(1, (long)rows * inner);

        int parts = up.PartCount(rows);
        KernelThreadPool.ParallelFor(parts, part =>
        {
            var (first, last) = up.PartRange(part, parts);
            int width = last - first;
            if (gate is not { } open)
            {
                up.Multiply(from, middle, inner, first, last);
                for (int m = 0; m < rows; m++) VectorMath.Apply(curve, middle + (long)m * inner + first, width, round);
                return;
            }
            float* other = ScratchBuffer.GetFloats(2, (long)rows * width);
            open.Multiply(from, middle, inner, first, last);
            up.Multiply(from, other - first, width, first, last);
            for (int m = 0; m < rows; m++) VectorMath.ApplyGated(curve, middle + (long)m * inner + first, other + (long)m * width, width, round);
        }, gate?.Address ?? up.Address);
        LinearKernels.Multiply(down, middle, rows, NativeTensor.DataPointer(output.Handle));
        GC.KeepAlive(x);
        FastPathCounter.Count++;
        return output;
    }
}
