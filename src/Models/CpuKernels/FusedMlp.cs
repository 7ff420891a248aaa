using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// The MLP of a layer: down(activation(up(x))), or down(activation(gate(x)) · up(x)), for passes in which no module inside is hooked.
/// Intermediate results are plain memory instead of tensors.
/// 1. Each part of a loop multiplies a range of the intermediate features, and applies the activation while they are in the cache.
/// 2. The down projection multiplies the intermediate features.
/// </summary>
/// <remarks>
/// Rounds where the eager implementation does, so a bfloat16 model gives the values of the eager implementation up to the order of sums.
/// </remarks>
internal sealed unsafe class FusedMlp
{
    private readonly SiteModule _module;
    private readonly ILinearLayer? _gate;
    private readonly ILinearLayer _up, _down;
    private readonly ActivationKind? _activation;
    private readonly bool _hasFusedGateUp;

    /// <param name="gate">The gate projection, or null if the MLP has none.</param>
    /// <param name="activation">Null for an activation without a kernel: <see cref="TryForward"/> then always returns null.</param>
    public FusedMlp(SiteModule module, ILinearLayer? gate, ILinearLayer up, ILinearLayer down, ActivationKind? activation) =>
        (_module, _gate, _up, _down, _activation) = (module, gate, up, down, activation);

    /// <param name="gateAndUp">One layer for both projections, the gate's output features first.</param>
    public FusedMlp(SiteModule module, ILinearLayer gateAndUp, ILinearLayer down, ActivationKind? activation)
        : this(module, null, gateAndUp, down, activation) => _hasFusedGateUp = true;

    /// <param name="input">[..., hidden]</param>
    /// <returns>[..., hidden], or null if the eager implementation has to run.</returns>
    [FastPath]
    public Tensor? TryForward(Tensor input)
    {
        if (_activation is not { } activation || !LinearKernels.Supports(input) || SiteHook.HasHooksInside(_module)) return null;
        ScalarType dtype = input.dtype;
        if (_up.View is not { } up || _down.View is not { } down || up.DType != dtype || down.DType != dtype
            || input.size(-1) != up.InFeatures)
            return null;
        WeightView? gate = null;
        if (_hasFusedGateUp)
        {
            if (up.IsInputMajor) return null;
            (gate, up) = (up.Slice(0, up.OutFeatures / 2), up.Slice(up.OutFeatures / 2, up.OutFeatures / 2));
        }
        else if (_gate is not null)
        {
            if (_gate.View is not { } view || view.DType != dtype || view.OutFeatures != up.OutFeatures) return null;
            gate = view;
        }
        if (down.InFeatures != up.OutFeatures) return null;
        int rows = (int)(input.numel() / up.InFeatures), intermediate = up.OutFeatures;
        ProductKernel kernel = up.KernelFor(rows);
        if (kernel == ProductKernel.Libtorch || down.KernelFor(rows) == ProductKernel.Libtorch) return null;
        bool roundToBFloat16 = dtype == ScalarType.BFloat16;
        using Tensor x = input.contiguous(); // [..., hidden]
        long[] shape = input.shape;
        shape[^1] = down.OutFeatures;
        Tensor output = empty(shape, dtype); // [..., hidden]
        GemmInput packedInput = GemmInput.Create(x, up, kernel);
        float* activations = ScratchBuffer.GetFloats(1, (long)rows * intermediate); // [batch, intermediate]

        int parts = up.PartCount(rows, kernel);
        KernelThreadPool.ParallelFor(parts, part => // 1
        {
            var (first, last) = up.PartRange(part, parts);
            int columns = last - first;
            if (gate is not { } gateView)
            {
                up.Multiply(packedInput, activations, intermediate, first, last);
                for (int m = 0; m < rows; m++)
                    VectorMath.Apply(activation, activations + (long)m * intermediate + first, columns, roundToBFloat16);
                return;
            }
            float* upOutput = ScratchBuffer.GetFloats(2, (long)rows * columns); // [batch, columns]
            gateView.Multiply(packedInput, activations, intermediate, first, last);
            up.Multiply(packedInput, upOutput - first, columns, first, last);
            for (int m = 0; m < rows; m++)
                VectorMath.ApplyGated(activation, activations + (long)m * intermediate + first, upOutput + (long)m * columns, columns,
                    roundToBFloat16);
        }, gate?.Address ?? up.Address);
        LinearKernels.Multiply(down, activations, rows, NativeTensor.DataPointer(output.Handle)); // 2
        GC.KeepAlive(x);
        FastPathCounter.Count++;
        return output;
    }
}
