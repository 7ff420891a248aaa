using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// A weight in eight bits: whole numbers from -127 to 127 and, for each output, the scale they are multiplied with. The weight is
/// made wide again for each use, so that memory is saved and time is not.
/// </summary>
/// <remarks>The absmax quantization of LLM.int8() (Dettmers et al., 2022, section 2.1), of the weights alone.</remarks>
internal sealed class EightBitWeight : IDisposable
{
    private const double Largest = 127;

    private readonly Tensor _numbers; // the weight's shape, int8
    private readonly Tensor _scales;  // the same with 1 input: float32
    private readonly ScalarType _dtype;

    private EightBitWeight(Tensor numbers, Tensor scales, ScalarType dtype) => (_numbers, _scales, _dtype) = (numbers, scales, dtype);

    /// <summary>In memory.</summary>
    public long Bytes => _numbers.numel() + _scales.numel() * sizeof(float);

    /// <param name="weight">Any shape.</param>
    /// <param name="inputs">The dimension that is summed over when the weight is used.</param>
    /// <param name="dtype">What the weight is used in.</param>
    public static EightBitWeight Of(Tensor weight, int inputs, ScalarType dtype, Device device)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        Tensor wide = weight.to(ScalarType.Float32);                                                // [..., inputs, ...]
        Tensor scales = (wide.abs().amax([inputs], keepdim: true) / Largest).clamp_min(1e-30);       // [..., 1, ...]
        Tensor numbers = (wide / scales).round_().clamp_(-Largest, Largest).to(ScalarType.Int8);     // [..., inputs, ...]
        return new(numbers.to(device).DetachFromDisposeScope(), scales.to(device).DetachFromDisposeScope(), dtype);
    }

    /// <summary>The weight as it is computed with; it belongs to the dispose scope that is open.</summary>
    public Tensor Wide()
    {
        using Tensor wide = _numbers.to(ScalarType.Float32);
        wide.mul_(_scales);
        return wide.dtype == _dtype ? wide.alias() : wide.to(_dtype);
    }

    public void Dispose()
    {
        _numbers.Dispose();
        _scales.Dispose();
    }
}
