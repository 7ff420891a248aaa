using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary positions as products of complex numbers, in float32.</summary>
/// <remarks>
/// apply_rotary_emb in transformers/models/llama4/modeling_llama4.py and transformers/models/deepseek_v2/modeling_deepseek_v2.py
/// </remarks>
public static partial class ComplexRotary
{
    /// <param name="x">[batch, heads, seq, headDim], whose dimensions 2i and 2i + 1 are a complex number</param>
    /// <param name="turns">[batch, seq, headDim/2] complex64</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_emb")]
    public static Tensor Rotate(Tensor x, Tensor turns)
    {
        if (x.device_type == TorchSharp.DeviceType.META) return empty_like(x); // libtorch has no meta kernels for complex numbers
        Tensor pairs = x.to(ScalarType.Float32).reshape(x.size(0), x.size(1), x.size(2), -1, 2); // [batch, heads, seq, headDim/2, 2]
        Tensor[] parts = pairs.unbind(-1);
        Tensor rotated = complex(parts[0], parts[1]) * turns.unsqueeze(1);                  // [batch, heads, seq, headDim/2]
        return view_as_real(rotated).flatten(3).to(x.dtype);
    }
}
