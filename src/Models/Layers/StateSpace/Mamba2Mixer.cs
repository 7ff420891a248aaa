using System.Text.Json;
using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>The sizes and options of a Mamba-2 mixer.</summary>
/// <param name="StateSize">The dimensions of the state of each dimension of a head.</param>
/// <param name="NumGroups">The groups of heads that share B and C.</param>
/// <param name="NormEps">The eps of the gated norm.</param>
internal sealed record Mamba2Config(
    int HiddenSize, int NumHeads, int HeadDim, int StateSize, int NumGroups, int ConvKernel, double NormEps)
{
    public int IntermediateSize => NumHeads * HeadDim;

    public int ConvDim => IntermediateSize + 2 * NumGroups * StateSize;

    public bool ConvBias { get; init; } = true;

    public bool ProjectionBias { get; init; }

    /// <summary>The class of the gated norm; null for a gate without a norm.</summary>
    public string? NormClass { get; init; }

    /// <summary>The groups of dimensions that the gated norm normalizes separately.</summary>
    public int NormGroups { get; init; } = 1;

    public bool NormsBeforeGate { get; init; }

    /// <summary>The smallest and the largest time step.</summary>
    public (double Min, double Max) TimeStepLimit { get; init; } = (0, double.PositiveInfinity);

    /// <summary>The factor of the input.</summary>
    public double? InputMultiplier { get; init; }

    /// <summary>The factors of gate, x, B, C and time step after the projection; null for none.</summary>
    public IReadOnlyList<double>? Multipliers { get; init; }

    /// <summary>Reads time_step_limit, in which infinity is a name or an object with a name.</summary>
    public static (double Min, double Max) ReadTimeStepLimit(ConfigReader json)
    {
        if (json.Raw("time_step_limit") is not { ValueKind: JsonValueKind.Array } list || list.GetArrayLength() != 2)
            return (0, double.PositiveInfinity);
        return (Value(list[0]), Value(list[1]));

        static double Value(JsonElement element) =>
            element.ValueKind == JsonValueKind.Number ? element.GetDouble() : double.PositiveInfinity;
    }
}

/// <summary>Mamba-2: a state-space model with one decay for each head, after a short convolution, with a gated norm.</summary>
/// <remarks>
/// Mamba2Mixer in transformers/models/mamba2/modeling_mamba2.py and its relatives in bamba, granitemoehybrid, falcon_h1 and nemotron_h;
/// Dao and Gu, Transformers are SSMs, 2024
/// </remarks>
[SharedLayer]
public sealed partial class Mamba2Mixer : StateSpaceMixer
{
    private const int ConvolutionState = 0, RecurrentState = 1;

    private readonly Mamba2Config _config;
    private readonly double? _inputMultiplier;
    private readonly Lazy<float[]>? _multipliers; // [projected]
    private readonly Parameter _dtBias, _aLog, _d; // [heads]
    private readonly Activation _act;
    private readonly DepthwiseConv1d _conv1d;
    private readonly Linear _inProj, _outProj;
    private readonly GatedRMSNorm? _norm;

    internal Mamba2Mixer(string className, int layer, MixerCall call, Mamba2Config config, Activation activation) :
        base(className, layer, call)
    {
        (_config, _inputMultiplier) = (config, config.InputMultiplier);
        _dtBias = Weight("dt_bias", config.NumHeads);
        _aLog = Weight("A_log", config.NumHeads);
        _d = Weight("D", config.NumHeads);
        _act = Child("act", activation);
        _conv1d = Child("conv1d", new DepthwiseConv1d(config.ConvDim, config.ConvKernel, config.ConvBias));
        int projected = config.IntermediateSize + config.ConvDim + config.NumHeads;
        _inProj = Child("in_proj", new Linear(config.HiddenSize, projected, config.ProjectionBias));
        if (config.NormClass is not null)
            _norm = Child("norm", new GatedRMSNorm(
                config.NormClass, config.IntermediateSize, config.NormEps, config.NormGroups, config.NormsBeforeGate));
        _outProj = Child("out_proj", new Linear(config.IntermediateSize, config.HiddenSize, config.ProjectionBias));
        if (config.Multipliers is not { } factors) return;
        int groupSize = config.NumGroups * config.StateSize;
        // not before the first pass: the size is any number that a config.json has
        _multipliers = new Lazy<float[]>(() => [.. Repeat(factors[0], config.IntermediateSize),
            .. Repeat(factors[1], config.IntermediateSize), .. Repeat(factors[2], groupSize), .. Repeat(factors[3], groupSize),
            .. Repeat(factors[4], config.NumHeads)]);

        static IEnumerable<float> Repeat(double factor, int count) => Enumerable.Repeat((float)factor, count);
    }

    protected override Tensor Forward(Tensor hidden, KeyValueCache? cache, Tensor? mask)
    {
        using var scope = NewDisposeScope();
        (int heads, int headDim, int groups) = (_config.NumHeads, _config.HeadDim, _config.NumGroups);
        Tensor input = hidden;                                                                  // [batch, seq, hidden]
        if (_inputMultiplier is not null) input = input * _inputMultiplier.Value;               // [batch, seq, hidden]
        Tensor projected = _inProj.Call(input);                                                 // [batch, seq, projected]
        if (_multipliers is not null) projected = projected * tensor(_multipliers.Value, projected.dtype, projected.device);
        Tensor[] parts = projected.split([_config.IntermediateSize, _config.ConvDim, heads], -1);
        Tensor gate = parts[0], mixed = PaddingMask.Apply(parts[1], mask).transpose(1, 2);      // [batch, convDim, seq]
        mixed = CausalConvolution.Apply(_conv1d, mixed, cache, Layer, ConvolutionState);        // [batch, convDim, seq]
        mixed = PaddingMask.Apply(_act.Call(mixed.transpose(1, 2)), mask);                      // [batch, seq, convDim]
        int groupSize = groups * _config.StateSize;
        Tensor[] xbc = mixed.to(ScalarType.Float32).split([_config.IntermediateSize, groupSize, groupSize], -1);
        Tensor x = xbc[0].unflatten(2, heads, headDim);                                        // [batch, seq, heads, headDim]
        Tensor b = xbc[1].unflatten(2, groups, -1).repeat_interleave(heads / groups, 2);       // [batch, seq, heads, stateSize]
        Tensor c = xbc[2].unflatten(2, groups, -1).repeat_interleave(heads / groups, 2);       // [batch, seq, heads, stateSize]
        Tensor step = nn.functional.softplus(parts[2].to(ScalarType.Float32) + _dtBias.Value.to(ScalarType.Float32)); // [batch, seq, heads]
        step = step.clamp(_config.TimeStepLimit.Min, _config.TimeStepLimit.Max);                // [batch, seq, heads]
        Tensor logDecay = step * -_aLog.Value.to(ScalarType.Float32).exp();                     // [batch, seq, heads]
        Tensor? state = cache?.State(Layer, RecurrentState);                                    // [batch, heads, headDim, stateSize]
        var (scanned, next) = StateSpaceScan.Scan(x * step.unsqueeze(-1), logDecay, b, c, state);
        cache?.SetState(Layer, RecurrentState, next);
        Tensor output = (scanned + x * _d.Value.to(ScalarType.Float32).unsqueeze(-1)).flatten(2); // [batch, seq, intermediate]
        if (_norm is not null) output = _norm.Call(output, gate);                               // [batch, seq, intermediate]
        else output = output * nn.functional.silu(gate);                                        // [batch, seq, intermediate]
        return _outProj.Call(output.to(hidden.dtype)).MoveToOuterDisposeScope();                // [batch, seq, hidden]
    }
}
