using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// A weight in eight bits: whole numbers from -127 to 127 and, for each output, the scale they are multiplied with. The weight is
/// made wide again for each use, so that memory is saved and time is not.
/// </summary>
/// <remarks>The absmax quantization of LLM.int8() (Dettmers et al., 2022, section 2.1), of the weights alone.</remarks>
internal sealed class EightBitWeight : IDisposable
{
    private const double MaxQuantizedValue = 127;
    private const long ChunkElements = 1 << 20; // what is in work at a time, so that loading holds little beside the model

    private Tensor _values; // the weight's shape, int8
    private Tensor _scales;  // the same with 1 input: float32
    private readonly ScalarType _dtype;

    private EightBitWeight(Tensor values, Tensor scales, ScalarType dtype) => (_values, _scales, _dtype) = (values, scales, dtype);

    /// <summary>In memory.</summary>
    public long Bytes => _values.numel() + _scales.numel() * sizeof(float);

    /// <param name="weight">Any shape.</param>
    /// <param name="inFeaturesDim">The dimension that is summed over when the weight is used.</param>
    /// <param name="dtype">What the weight is used in.</param>
    public static EightBitWeight Quantize(Tensor weight, int inFeaturesDim, ScalarType dtype, Device device)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        int along = inFeaturesDim == 0 ? 1 : 0;                                                        // outputs, or a stack of layers
        long[] scaled = weight.shape;
        scaled[inFeaturesDim] = 1;
        Tensor numbers = empty(weight.shape, ScalarType.Int8, device), scales = empty(scaled, ScalarType.Float32, device);
        long part = Math.Max(1, ChunkElements / Math.Max(1, weight.numel() / weight.size(along)));
        for (long start = 0; start < weight.size(along); start += part)
        {
            using var step = NewDisposeScope();
            long length = Math.Min(part, weight.size(along) - start);
            Tensor wide = weight.narrow(along, start, length).to(ScalarType.Float32);           // a part of it
            Tensor scale = (wide.abs().amax([inFeaturesDim], keepdim: true) / MaxQuantizedValue).clamp_min_(1e-30);
            scales.narrow(along, start, length).copy_(scale);
            numbers.narrow(along, start, length).copy_((wide / scale).round_().clamp_(-MaxQuantizedValue, MaxQuantizedValue));
        }
        return new(numbers.DetachFromDisposeScope(), scales.DetachFromDisposeScope(), dtype);
    }

    /// <summary>The weight as it is computed with; it belongs to the dispose scope that is open.</summary>
    public Tensor Dequantize()
    {
        using var nothing = no_grad();
        using Tensor wide = _values.to(ScalarType.Float32).mul_(_scales);
        return wide.dtype == _dtype ? wide.alias() : wide.to(_dtype);
    }

    public Device Device => _values.device;

    /// <summary>Moves both to another device.</summary>
    public void MoveTo(Device device)
    {
        (Tensor numbers, Tensor scales) = (_values, _scales);
        _values = numbers.to(device).DetachFromDisposeScope();
        _scales = scales.to(device).DetachFromDisposeScope();
        if (!ReferenceEquals(_values, numbers)) numbers.Dispose();
        if (!ReferenceEquals(_scales, scales)) scales.Dispose();
    }

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
    }
}
