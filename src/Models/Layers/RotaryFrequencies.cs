using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>The frequencies of rotary position embeddings: one row in <see cref="Compute"/> for each kind of scaling.</summary>
/// <remarks>ROPE_INIT_FUNCTIONS in transformers/modeling_rope_utils.py</remarks>
public sealed class RotaryFrequencies
{
    private readonly Lazy<float[]> _inverse;

    /// <param name="width">The rotated width of a head.</param>
    public RotaryFrequencies(ConfigReader config, RopeParameters parameters, int width)
    {
        Compute = parameters.Kind switch
        {
            "default" => plain => plain,
            "linear" => Linear(parameters.Values!),
            "llama3" => Llama3(parameters.Values!),
            string unknown => throw config.Bad("rope_type",
                "must be a kind of scaling that is known here (default, linear, llama3)", $"`{unknown}`"),
        };
        _inverse = new(() =>
        {
            using var scope = NewDisposeScope();
            using var nothing = no_grad();
            Tensor exponents = arange(0, width, 2, ScalarType.Float32) / width;          // [width/2]
            Tensor plain = 1.0 / pow(tensor((float)parameters.Theta), exponents);        // [width/2]
            return Compute(plain).data<float>().ToArray();
        });
    }

    /// <summary>[width/2], radians per token, in float32 by the same operations as PyTorch's.</summary>
    public float[] Inverse => _inverse.Value;

    /// <summary>What cosines and sines are multiplied with.</summary>
    public double Scale { get; } = 1.0;

    private Func<Tensor, Tensor> Compute { get; }

    private static Func<Tensor, Tensor> Linear(ConfigReader values)
    {
        double factor = values.Real("factor");
        return plain => plain / factor;
    }

    /// <summary>Long wavelengths are stretched by the factor, short ones kept, and those between blended.</summary>
    private static Func<Tensor, Tensor> Llama3(ConfigReader values)
    {
        double factor = values.Real("factor");
        double low = values.Real("low_freq_factor"), high = values.Real("high_freq_factor");
        double context = values.Real("original_max_position_embeddings");
        return plain =>
        {
            Tensor wavelength = 2 * Math.PI / plain;                                        // [width/2]
            Tensor blend = (context / wavelength - low) / (high - low);                     // [width/2]
            Tensor blended = (1 - blend) * plain / factor + blend * plain;                  // [width/2]
            Tensor stretched = where(wavelength > context / low, plain / factor, blended);  // [width/2]
            return where(wavelength < context / high, plain, stretched);
        };
    }
}
