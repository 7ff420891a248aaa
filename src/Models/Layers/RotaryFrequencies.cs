using Ndif.Models.Config;
using static TorchSharp.torch;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Layers;

/// <summary>The frequencies of rotary position embeddings: one method for each kind of scaling.</summary>
/// <remarks>ROPE_INIT_FUNCTIONS in transformers/modeling_rope_utils.py</remarks>
public sealed class RotaryFrequencies
{
    private readonly ConfigReader _config;
    private readonly RopeParameters _parameters;
    private readonly int _dim;
    private readonly Lazy<float[]> _inverseFrequencies;
    private readonly Func<Tensor, Tensor>? _byLength; // from the rows' lengths [batch, 1, 1] to frequencies [batch, 1, rotaryDim/2]

    /// <param name="dim">The rotated dimensions of a head.</param>
    public RotaryFrequencies(ConfigReader config, RopeParameters parameters, int dim)
    {
        (_config, _parameters, _dim) = (config, parameters, dim);
        Func<Tensor> compute;
        switch (parameters.RopeType)
        {
            case "default":
                compute = () => ComputeDefault();
                break;
            case "linear":
                double factor = Factor();
                compute = () => ComputeDefault() / factor;
                break;
            case "proportional":
                compute = Proportional();
                break;
            case "llama3":
                compute = Llama3();
                break;
            case "yarn":
                (compute, AttentionScaling) = Yarn();
                break;
            case "dynamic":
                (_byLength, LengthThreshold) = Dynamic();
                compute = () => ComputeDefault();
                break;
            case "longrope" or "su":
                (compute, _byLength, LengthThreshold, AttentionScaling) = LongRope();
                break;
            default:
                throw config.InvalidValue("rope_type",
                    "must be a kind of scaling that is known here (default, linear, dynamic, proportional, yarn, longrope, llama3)",
                    $"`{parameters.RopeType}`");
        }
        _inverseFrequencies = new(() =>
        {
            using var scope = NewDisposeScope();
            using var nothing = no_grad();
            return compute().data<float>().ToArray();
        });
    }

    /// <summary>
    /// [rotaryDim/2], radians per token, in float32 by the same operations as PyTorch's. Where the frequencies depend on the length of a
    /// sequence, those of a short one.
    /// </summary>
    public float[] InverseFrequencies => _inverseFrequencies.Value;

    /// <summary>The factor of cosines and sines.</summary>
    public double AttentionScaling { get; } = 1.0;

    /// <summary>
    /// The length up to which the frequencies are <see cref="InverseFrequencies"/>; null if they do not depend on the length.
    /// </summary>
    public long? LengthThreshold { get; }

    /// <summary>
    /// The frequencies for a pass. Each row has the frequencies of its own length, where Hugging Face's code takes the longest row's length
    /// for all, because the rest of the batch must not change a row. Cached keys keep the frequencies that they were computed with, as in
    /// Hugging Face's code. Where a model recomputes them (<see cref="PreTrainedModel.CacheRecomputeLength"/>), the engine does so.
    /// </summary>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>[rotaryDim/2], or [batch, 1, rotaryDim/2] where the length of a row matters.</returns>
    public Tensor At(Tensor positionIds)
    {
        if (_byLength is null) return tensor(InverseFrequencies, device: positionIds.device);
        using var scope = NewDisposeScope();
        Tensor lengths = positionIds.amax([1L], keepdim: true).unsqueeze(-1) + 1;                   // [batch, 1, 1]
        Tensor inverse = tensor(InverseFrequencies, device: positionIds.device);                               // [rotaryDim/2]
        Tensor longer = _byLength(lengths);
        if (lengths.device_type == TorchSharp.DeviceType.META) return longer.MoveToOuterDisposeScope(); // where needs data
        return where(lengths > LengthThreshold!.Value, longer, inverse).MoveToOuterDisposeScope();
    }

    /// <param name="theta">Another base than the file's, one for each row: [batch, 1, 1].</param>
    /// <returns>[rotaryDim/2], or [batch, 1, rotaryDim/2]</returns>
    private Tensor ComputeDefault(Tensor? theta = null)
    {
        Tensor exponents = arange(0, _dim, 2, ScalarType.Float32, theta?.device) / _dim;         // [rotaryDim/2]
        return 1.0 / pow(theta ?? tensor((float)_parameters.Theta), exponents);
    }

    /// <summary>Only a fraction of the dimensions turns, with the frequencies that it has in a whole head; the others have zero.</summary>
    private Func<Tensor> Proportional()
    {
        int turning = (int)(_parameters.PartialRotaryFactor * _dim / 2);
        double factor = _parameters.Values?.Has("factor") ?? false ? Factor() : 1;
        return () => cat([ComputeDefault().narrow(0, 0, turning), zeros(_dim / 2 - turning)]) / factor; // [rotaryDim/2]
    }

    /// <summary>Long wavelengths are stretched by the factor, short ones kept, and those between blended.</summary>
    private Func<Tensor> Llama3()
    {
        ConfigReader values = _parameters.Values!;
        double factor = Factor(), low = values.Real("low_freq_factor"), high = values.Real("high_freq_factor");
        double context = OriginalMaxPositions();
        return () =>
        {
            Tensor plain = ComputeDefault();                                                         // [rotaryDim/2]
            Tensor wavelength = 2 * Math.PI / plain;                                        // [rotaryDim/2]
            Tensor blend = (context / wavelength - low) / (high - low);                     // [rotaryDim/2]
            Tensor blended = (1 - blend) * plain / factor + blend * plain;                  // [rotaryDim/2]
            Tensor stretched = where(wavelength > context / low, plain / factor, blended);  // [rotaryDim/2]
            return where(wavelength < context / high, plain, stretched);
        };
    }

    /// <summary>
    /// Dimensions that turn often within the original length keep their frequency, those that turn less than once are stretched by the
    /// factor, and between there is a ramp.
    /// </summary>
    /// <remarks>Peng et al., YaRN, 2023, section 3.2 and 3.4</remarks>
    private (Func<Tensor> Compute, double Scale) Yarn()
    {
        ConfigReader values = _parameters.Values!;
        double context = OriginalMaxPositions();
        double factor = values.Has("factor") ? Factor() : MaxPositions() / context;
        double mscale = values.Real("mscale", 0), allMscale = values.Real("mscale_all_dim", 0);
        double scale = values.Has("attention_factor") ? values.Real("attention_factor")
            : mscale != 0 && allMscale != 0 ? MscaleOf(mscale) / MscaleOf(allMscale) : MscaleOf(1);
        double low = Dimension(OrElse("beta_fast", 32)), high = Dimension(OrElse("beta_slow", 1));
        if (values.Flag("truncate", true)) (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, _dim - 1));
        if (low == high) high += 0.001;
        return (() =>
        {
            Tensor exponents = arange(0, _dim, 2, ScalarType.Float32) / _dim;           // [rotaryDim/2]
            Tensor positions = pow(tensor((float)_parameters.Theta), exponents);            // [rotaryDim/2]
            Tensor ramp = ((arange(_dim / 2, ScalarType.Float32) - low) / (high - low)).clamp(0, 1);
            Tensor kept = 1 - ramp;                                                         // [rotaryDim/2]
            return 1.0 / (factor * positions) * (1 - kept) + 1.0 / positions * kept;
        }, scale);

        double MscaleOf(double m) => factor <= 1 ? 1 : 0.1 * m * Math.Log(factor) + 1;
        // 0 counts as absent in Python
        double OrElse(string key, double otherwise) => values.Real(key, 0) is not 0 and var value ? value : otherwise;
        // the dimension that makes this number of turns within the original length
        double Dimension(double turns) => _dim * Math.Log(context / (turns * 2 * Math.PI)) / (2 * Math.Log(_parameters.Theta));
    }

    /// <summary>A base that grows with the sequence once that is longer than the model was made for (NTK-aware scaling).</summary>
    private (Func<Tensor, Tensor> ByLength, long KnownLength) Dynamic()
    {
        double factor = Factor();
        long length = MaxPositions();
        if (_dim <= 2) throw _config.InvalidValue("rope_type", "must not be dynamic where a head has two rotated dimensions", "dynamic");
        return (lengths =>
        {
            Tensor stretch = factor * lengths.clamp_min(length).to(ScalarType.Float32) / length - (factor - 1); // [batch, 1, 1]
            return ComputeDefault(_parameters.Theta * stretch.pow((double)_dim / (_dim - 2)));   // [batch, 1, rotaryDim/2]
        }, length);
    }

    /// <summary>A factor for each dimension: one list for sequences within the original length, another for longer ones.</summary>
    /// <remarks>Ding et al., LongRoPE, 2024</remarks>
    private (Func<Tensor> Compute, Func<Tensor, Tensor> ByLength, long KnownLength, double Scale) LongRope()
    {
        ConfigReader values = _parameters.Values!;
        float[] shorter = Factors("short_factor"), longer = Factors("long_factor");
        int original = OriginalMaxPositions();
        double factor = values.Has("factor") ? Factor() : (double)MaxPositions() / original;
        double scale = values.Has("attention_factor") ? values.Real("attention_factor")
            : factor <= 1 ? 1 : Math.Sqrt(1 + Math.Log(factor) / Math.Log(original));
        return (() => Divided(shorter, CPU),
            lengths => Divided(longer, lengths.device).expand(lengths.size(0), 1, _dim / 2), original, scale);

        float[] Factors(string key)
        {
            IReadOnlyList<double> factors = values.Reals(key);
            return factors.Count == _dim / 2 ? [.. factors.Select(f => (float)f)]
                : throw values.InvalidValue(key,
                    $"must have {_dim / 2} numbers, one for each pair of rotated dimensions", $"{factors.Count}");
        }

        Tensor Divided(float[] factors, Device device)
        {
            Tensor exponents = arange(0, _dim, 2, ScalarType.Float32, device) / _dim;   // [rotaryDim/2]
            return 1.0 / (tensor(factors, device: device) * pow(tensor((float)_parameters.Theta, device: device), exponents));
        }
    }

    private double Factor()
    {
        double factor = _parameters.Values!.Real("factor");
        return factor > 0 && double.IsFinite(factor) ? factor
            : throw _parameters.Values.InvalidValue("factor", "must be positive", $"{factor}");
    }

    private int MaxPositions() => _config.Size("max_position_embeddings");

    private int OriginalMaxPositions() => _parameters.OriginalMaxPositions ?? MaxPositions();
}
