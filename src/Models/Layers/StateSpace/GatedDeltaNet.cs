using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>The sizes of a gated delta net.</summary>
/// <param name="NumKeyHeads">The heads of queries and keys; each serves NumValueHeads / NumKeyHeads heads of values.</param>
internal sealed record DeltaNetConfig(
    int HiddenSize, int NumKeyHeads, int NumValueHeads, int KeyHeadDim, int ValueHeadDim, int ConvKernel, double NormEps)
{
    public int KeyDim => NumKeyHeads * KeyHeadDim;

    public int ValueDim => NumValueHeads * ValueHeadDim;

    public int ConvDim => 2 * KeyDim + ValueDim;

    /// <summary>The factor of the strength with which a value replaces the old one: 2 allows that its sign is reversed.</summary>
    public double BetaScale { get; init; } = 1;
}

/// <summary>A linear attention whose state forgets by gates and replaces the value of a key instead of adding to it.</summary>
/// <remarks>
/// Qwen3NextGatedDeltaNet in transformers/models/qwen3_next/modeling_qwen3_next.py and its relatives; Yang et al., Gated Delta Networks,
/// 2024
/// </remarks>
public abstract class GatedDeltaNet : StateSpaceMixer
{
    private protected const int ConvolutionState = 0, RecurrentState = 3;

    private readonly Parameter _dtBias, _aLog; // [valueHeads]

    private protected GatedDeltaNet(string className, int layer, MixerCall call, DeltaNetConfig config, bool isALogFirst = false) :
        base(className, layer, call)
    {
        Config = config;
        if (isALogFirst) _aLog = Weight("A_log", config.NumValueHeads);
        _dtBias = Weight("dt_bias", config.NumValueHeads);
        _aLog ??= Weight("A_log", config.NumValueHeads);
    }

    private protected DeltaNetConfig Config { get; }

    /// <summary>Splits the convolved queries, keys and values into heads, and runs the recurrence in float32.</summary>
    /// <param name="mixed">[batch, seq, 2 keyDim + valueDim]</param>
    /// <param name="b">The logits of the strengths, [batch, seq, valueHeads].</param>
    /// <param name="a">The inputs of the decays, [batch, seq, valueHeads].</param>
    /// <param name="mask">[batch, seq]: 0 for padding, which leaves the state as it is; null for none.</param>
    /// <returns>[batch, seq, valueHeads, valueHeadDim]</returns>
    private protected Tensor Mix(Tensor mixed, Tensor b, Tensor a, KeyValueCache? cache, Tensor? mask)
    {
        int repeats = Config.NumValueHeads / Config.NumKeyHeads;
        Tensor[] parts = mixed.to(ScalarType.Float32).split([Config.KeyDim, Config.KeyDim, Config.ValueDim], -1);
        Tensor query = Normalize(parts[0].unflatten(2, Config.NumKeyHeads, -1));                    // [batch, seq, keyHeads, keyHeadDim]
        query = query / Math.Sqrt(Config.KeyHeadDim);                                               // [batch, seq, keyHeads, keyHeadDim]
        Tensor key = Normalize(parts[1].unflatten(2, Config.NumKeyHeads, -1));                     // [batch, seq, keyHeads, keyHeadDim]
        if (repeats > 1) (query, key) = (query.repeat_interleave(repeats, 2), key.repeat_interleave(repeats, 2));
        Tensor value = parts[2].unflatten(2, Config.NumValueHeads, -1);                            // [batch, seq, valueHeads, valueHeadDim]
        Tensor beta = PaddingMask.Apply(b.to(ScalarType.Float32).sigmoid() * Config.BetaScale, mask); // [batch, seq, valueHeads]
        Tensor step = nn.functional.softplus(a.to(ScalarType.Float32) + _dtBias.Value.to(ScalarType.Float32)); // [batch, seq, valueHeads]
        Tensor logDecay = step * -_aLog.Value.to(ScalarType.Float32).exp();                         // [batch, seq, valueHeads]
        var (output, state) = StateSpaceScan.DeltaRule(query, key, value, logDecay, beta, cache?.State(Layer, RecurrentState));
        cache?.SetState(Layer, RecurrentState, state);
        return output.to(mixed.dtype);
    }

    /// <summary>x / sqrt(sum(x²) + 1e-6)</summary>
    private static Tensor Normalize(Tensor x) => x * rsqrt(x.square().sum([-1L], keepdim: true) + 1e-6);
}
