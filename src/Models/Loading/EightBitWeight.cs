using static TorchSharp.torch;

namespace Ndif.Models.Loading;

/// <summary>
/// A weight quantized to eight bits: integers from -127 to 127 and a scale for each output feature. The CPU kernels multiply it as it is
/// (<see cref="CpuKernels.WeightView"/>); libtorch gets a dequantized copy for each use.
/// </summary>
/// <remarks>
/// Absmax quantization as in LLM.int8() (Dettmers et al., 2022, section 2.1), of the weights only: the kernels convert the integers in
/// registers, and reading the weight takes longer than that, so activations in eight bits would lose accuracy and gain nothing.
/// </remarks>
internal sealed class EightBitWeight : IDisposable
{
    private const double MaxQuantizedValue = 127;
    private const long ChunkElements = 1 << 20; // quantized at a time, so that loading needs little memory in addition to the model

    private Tensor _values; // int8: the shape of the weight
    private Tensor _scales; // float32: the shape of the weight with one input feature
    private readonly ScalarType _dtype;

    private EightBitWeight(Tensor values, Tensor scales, ScalarType dtype) => (_values, _scales, _dtype) = (values, scales, dtype);

    /// <summary>int8 of the shape of the weight</summary>
    public Tensor Values => _values;

    /// <summary>float32 of the shape of the weight with one input feature</summary>
    public Tensor Scales => _scales;

    /// <summary>The element type of the dequantized weight.</summary>
    public ScalarType DType => _dtype;

    /// <summary>The bytes in memory.</summary>
    public long Bytes => _values.numel() + _scales.numel() * sizeof(float);

    /// <summary>Quantizes a weight of any shape.</summary>
    /// <param name="inFeaturesDim">The dimension of the input features.</param>
    /// <param name="dtype">The element type of the dequantized weight.</param>
    public static EightBitWeight Quantize(Tensor weight, int inFeaturesDim, ScalarType dtype, Device device)
    {
        using var scope = NewDisposeScope();
        using var nothing = no_grad();
        int outFeaturesDim = inFeaturesDim == 0 ? 1 : 0; // the dimension of the output features, or of a stack of layers
        long[] scaleShape = weight.shape;
        scaleShape[inFeaturesDim] = 1;
        Tensor values = empty(weight.shape, ScalarType.Int8, device);         // the shape of the weight
        Tensor scales = empty(scaleShape, ScalarType.Float32, device);        // the shape of the weight with one input feature
        long chunk = Math.Max(1, ChunkElements / Math.Max(1, weight.numel() / weight.size(outFeaturesDim)));
        for (long start = 0; start < weight.size(outFeaturesDim); start += chunk)
        {
            using var step = NewDisposeScope();
            long length = Math.Min(chunk, weight.size(outFeaturesDim) - start);
            Tensor chunkValues = weight.narrow(outFeaturesDim, start, length).to(ScalarType.Float32); // the chunk in float32
            // one input feature
            Tensor scale = (chunkValues.abs().amax([inFeaturesDim], keepdim: true) / MaxQuantizedValue).clamp_min_(1e-30);
            scales.narrow(outFeaturesDim, start, length).copy_(scale);
            values.narrow(outFeaturesDim, start, length)
                .copy_((chunkValues / scale).round_().clamp_(-MaxQuantizedValue, MaxQuantizedValue));
        }
        return new(values.DetachFromDisposeScope(), scales.DetachFromDisposeScope(), dtype);
    }

    /// <summary>The dequantized weight, which belongs to the current dispose scope.</summary>
    public Tensor Dequantize()
    {
        using var nothing = no_grad();
        using Tensor dequantized = _values.to(ScalarType.Float32).mul_(_scales); // the shape of the weight
        return dequantized.dtype == _dtype ? dequantized.alias() : dequantized.to(_dtype);
    }

    public Device Device => _values.device;

    /// <summary>Moves values and scales to another device.</summary>
    public void MoveTo(Device device)
    {
        (Tensor values, Tensor scales) = (_values, _scales);
        _values = values.to(device).DetachFromDisposeScope();
        _scales = scales.to(device).DetachFromDisposeScope();
        if (!ReferenceEquals(_values, values)) values.Dispose();
        if (!ReferenceEquals(_scales, scales)) scales.Dispose();
    }

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
    }
}
