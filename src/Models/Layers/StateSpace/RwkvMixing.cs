using Ndif.Models.Architectures;
using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>What RWKV's layers have in common: the token before each token, and the recurrence over the tokens.</summary>
/// <remarks>transformers/models/rwkv/modeling_rwkv.py; Peng et al., RWKV, 2023</remarks>
public static partial class RwkvMixing
{
    /// <summary>An exponent below which everything is zero: the state before the first token, and the key of padding.</summary>
    private const double Lowest = -1e38;

    /// <summary>The argument of a pass with padding. Hugging Face's code has none.</summary>
    internal static KeyValuePair<string, object?>[] MaskArgument(Tensor? mask) => mask is null ? [] : [new("attention_mask", mask)];

    /// <summary>The token before each token: of the cache for the first, zeros for the first of a row.</summary>
    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="mask">[batch, seq]: 0 for padding; null for none.</param>
    /// <param name="state">The number of the state in the cache.</param>
    /// <returns>[batch, seq, hidden]</returns>
    [Operation("extract_shifted")]
    public static Tensor Shift(RwkvTimeShift timeShift, Tensor hidden, Tensor? mask, KeyValueCache? cache, int layer, int state)
    {
        long seqLen = hidden.size(1);
        Tensor tokens = PaddingMask.Apply(hidden, mask);                                        // [batch, seq, hidden]
        Tensor? earlier = cache?.State(layer, state)?.unsqueeze(1);
        cache?.SetState(layer, state, tokens.select(1, seqLen - 1));
        if (earlier is null) return timeShift.Call(tokens);
        if (seqLen == 1) return earlier;
        Tensor rest = timeShift.Call(tokens).slice(1, 1, seqLen, 1); // all but the first
        return cat([earlier, rest], 1);
    }

    /// <summary>A part of each token and the rest of the one before it.</summary>
    /// <param name="hidden">[batch, seq, hidden]</param>
    /// <param name="shifted">[batch, seq, hidden]</param>
    /// <param name="part">[1, 1, hidden]</param>
    /// <returns>[batch, seq, hidden]</returns>
    [Operation("time_mix")]
    public static Tensor Mix(Tensor hidden, Tensor shifted, Tensor part) => hidden * part + shifted * (1 - part);

    /// <summary>
    /// The mean of the values, weighed by the exponential of key minus decay times distance; the token itself has a weight of its own.
    /// Numerator and denominator are kept without the largest exponent, which is the third state.
    /// </summary>
    /// <param name="timeDecay">[width]</param>
    /// <param name="timeFirst">[width]</param>
    /// <param name="key">[batch, seq, width]</param>
    /// <param name="value">[batch, seq, width]</param>
    /// <param name="mask">[batch, seq]: 0 for padding; null for none.</param>
    /// <param name="states">Numerator, denominator and maximum, each [batch, width]; null for none.</param>
    /// <returns>The output [batch, seq, width] and the states after the tokens.</returns>
    [Operation("rwkv_linear_attention")]
    public static (Tensor Output, Tensor Numerator, Tensor Denominator, Tensor Maximum) Attend(
        Tensor timeDecay, Tensor timeFirst, Tensor key, Tensor value, Tensor? mask, Tensor?[] states)
    {
        Tensor decay = -timeDecay.to(ScalarType.Float32).exp();                                 // [width]
        Tensor keys = key.to(ScalarType.Float32);                                               // [batch, seq, width]
        if (mask is not null) keys = keys.masked_fill(mask.unsqueeze(-1) == 0, Lowest);         // [batch, seq, width]
        Tensor zero = zeros_like(keys.select(1, 0));                                            // [batch, width]
        return Recur(decay, timeFirst.to(ScalarType.Float32), keys, value, states[0] ?? zero, states[1] ?? zero,
            states[2] ?? zero + Lowest);
    }

    private static (Tensor, Tensor, Tensor, Tensor) Recur(Tensor decay, Tensor first, Tensor keys, Tensor value, Tensor numerator,
        Tensor denominator, Tensor maximum)
    {
        List<Tensor> outputs = [];
        for (long token = 0; token < keys.size(1); token++)
        {
            Tensor k = keys.select(1, token), v = value.select(1, token);                       // [batch, width]
            Tensor own = k + first, largest = maximum.maximum(own);                      // [batch, width]
            Tensor past = (maximum - largest).exp(), present = (own - largest).exp();           // [batch, width]
            outputs.Add(((past * numerator + present * v) / (past * denominator + present)).to(value.dtype));
            Tensor decayed = maximum + decay;                                                   // [batch, width]
            largest = decayed.maximum(k);
            (past, present) = ((decayed - largest).exp(), (k - largest).exp());
            (numerator, denominator, maximum) = (past * numerator + present * v, past * denominator + present, largest);
        }
        return (stack(outputs, 1), numerator, denominator, maximum);
    }
}
