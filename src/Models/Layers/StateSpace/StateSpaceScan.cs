using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers.StateSpace;

/// <summary>The recurrences of state-space models and of linear attention, in float32, in chunks of tokens.</summary>
public static partial class StateSpaceScan
{
    private const int ChunkSize = 64;

    /// <summary>
    /// hₜ = exp(aₜ) hₜ₋₁ + xₜ ⊗ bₜ, yₜ = hₜ cₜ, with one decay for each head. Within a chunk it is an attention whose scores decay with the
    /// distance.
    /// </summary>
    /// <remarks>Dao and Gu, Transformers are SSMs (Mamba-2), 2024, section 6</remarks>
    /// <param name="x">[batch, seq, heads, headDim]</param>
    /// <param name="logDecay">[batch, seq, heads], at most 0</param>
    /// <param name="b">[batch, seq, heads, stateSize]</param>
    /// <param name="c">[batch, seq, heads, stateSize]</param>
    /// <param name="state">[batch, heads, headDim, stateSize]; null for zeros.</param>
    /// <returns>The output [batch, seq, heads, headDim] and the last state.</returns>
    [Operation("chunk_scan")]
    public static (Tensor Output, Tensor State) Scan(Tensor x, Tensor logDecay, Tensor b, Tensor c, Tensor? state)
    {
        Tensor h = state ?? zeros([x.size(0), x.size(2), x.size(3), b.size(3)], x.dtype, x.device); // [batch, heads, headDim, stateSize]
        List<Tensor> outputs = [];
        for (long at = 0; at < x.size(1); at += ChunkSize)
        {
            long count = Math.Min(ChunkSize, x.size(1) - at);
            Tensor xs = Chunk(x, at, count), bs = Chunk(b, at, count), cs = Chunk(c, at, count);    // [batch, heads, count, ...]
            Tensor sums = logDecay.narrow(1, at, count).transpose(1, 2).cumsum(-1);                 // [batch, heads, count]
            Tensor scores = cs.matmul(bs.transpose(2, 3)) * Decays(sums);                           // [batch, heads, count, count]
            Tensor earlier = cs.matmul(h.transpose(2, 3)) * sums.exp().unsqueeze(-1);               // [batch, heads, count, headDim]
            outputs.Add((scores.matmul(xs) + earlier).transpose(1, 2));
            Tensor last = sums.narrow(2, count - 1, 1);                                             // [batch, heads, 1]
            Tensor decayed = xs * (last - sums).exp().unsqueeze(-1);                                // [batch, heads, count, headDim]
            h = h * last.exp().unsqueeze(-1) + decayed.transpose(2, 3).matmul(bs);
        }
        return (outputs.Count == 1 ? outputs[0] : cat(outputs, 1), h);
    }

    /// <summary>
    /// Sₜ = exp(gₜ) (I - βₜ kₜ kₜᵀ) Sₜ₋₁ + βₜ kₜ vₜᵀ, oₜ = Sₜᵀ qₜ: a value replaces what the state has under its key. Within a chunk the
    /// values that are really written solve a triangular system.
    /// </summary>
    /// <remarks>Yang et al., Gated Delta Networks, 2024, section 3.3</remarks>
    /// <param name="q">[batch, seq, heads, keyDim]</param>
    /// <param name="k">[batch, seq, heads, keyDim]</param>
    /// <param name="v">[batch, seq, heads, valueDim]</param>
    /// <param name="logDecay">[batch, seq, heads], at most 0</param>
    /// <param name="beta">[batch, seq, heads]</param>
    /// <param name="state">[batch, heads, keyDim, valueDim]; null for zeros.</param>
    /// <returns>The output [batch, seq, heads, valueDim] and the last state.</returns>
    [Operation("chunk_gated_delta_rule")]
    public static (Tensor Output, Tensor State) DeltaRule(Tensor q, Tensor k, Tensor v, Tensor logDecay, Tensor beta, Tensor? state)
    {
        Tensor s = state ?? zeros([k.size(0), k.size(2), k.size(3), v.size(3)], v.dtype, v.device); // [batch, heads, keyDim, valueDim]
        List<Tensor> outputs = [];
        for (long at = 0; at < k.size(1); at += ChunkSize)
        {
            long count = Math.Min(ChunkSize, k.size(1) - at);
            Tensor qs = Chunk(q, at, count), ks = Chunk(k, at, count), vs = Chunk(v, at, count);    // [batch, heads, count, ...]
            Tensor sums = logDecay.narrow(1, at, count).transpose(1, 2).cumsum(-1);                 // [batch, heads, count]
            Tensor betas = beta.narrow(1, at, count).transpose(1, 2).unsqueeze(-1);                 // [batch, heads, count, 1]
            Tensor decays = Decays(sums);                                                           // [batch, heads, count, count]
            Tensor overlap = (ks * betas).matmul(ks.transpose(2, 3)) * decays;                      // [batch, heads, count, count]
            Tensor remembered = (ks * sums.exp().unsqueeze(-1)).matmul(s);                          // [batch, heads, count, valueDim]
            Tensor written = (vs - remembered) * betas;                                             // [batch, heads, count, valueDim]
            if (count > 1) written = Solve(overlap, written);                                       // [batch, heads, count, valueDim]
            Tensor scores = qs.matmul(ks.transpose(2, 3)) * decays;                                 // [batch, heads, count, count]
            Tensor earlier = (qs * sums.exp().unsqueeze(-1)).matmul(s);                             // [batch, heads, count, valueDim]
            outputs.Add((earlier + scores.matmul(written)).transpose(1, 2));
            Tensor last = sums.narrow(2, count - 1, 1);                                             // [batch, heads, 1]
            Tensor decayed = ks * (last - sums).exp().unsqueeze(-1);                                // [batch, heads, count, keyDim]
            s = s * last.exp().unsqueeze(-1) + decayed.transpose(2, 3).matmul(written);
        }
        return (outputs.Count == 1 ? outputs[0] : cat(outputs, 1), s);
    }

    /// <summary>hₜ = aₜ hₜ₋₁ + uₜ for each element, token by token.</summary>
    /// <param name="decay">[batch, seq, ...]</param>
    /// <param name="input">[batch, seq, ...]</param>
    /// <param name="state">[batch, ...]; null for zeros.</param>
    /// <returns>The states of all tokens, [batch, seq, ...].</returns>
    [Operation("selective_scan")]
    public static Tensor Diagonal(Tensor decay, Tensor input, Tensor? state)
    {
        List<Tensor> states = [];
        Tensor? h = state;
        for (long token = 0; token < input.size(1); token++)
        {
            Tensor u = input.select(1, token);
            h = h is null ? u : decay.select(1, token) * h + u;
            states.Add(h);
        }
        return stack(states, 1);
    }

    /// <summary>exp(sumₜ - sumₛ) for s ≤ t, and 0 for later tokens.</summary>
    /// <param name="sums">[batch, heads, count]</param>
    /// <returns>[batch, heads, count, count]</returns>
    private static Tensor Decays(Tensor sums)
    {
        Tensor differences = sums.unsqueeze(-1) - sums.unsqueeze(-2);                               // [batch, heads, count, count]
        Tensor isLater = ones([sums.size(2), sums.size(2)], ScalarType.Bool, sums.device).triu(1);  // [count, count]
        return differences.masked_fill(isLater, double.NegativeInfinity).exp();
    }

    /// <summary>Solves (I + L) w = r, where L is the part of a matrix below its diagonal.</summary>
    /// <param name="overlap">[batch, heads, count, count]</param>
    /// <param name="right">[batch, heads, count, valueDim]</param>
    /// <returns>[batch, heads, count, valueDim]</returns>
    private static Tensor Solve(Tensor overlap, Tensor right) => overlap.device_type == TorchSharp.DeviceType.META ? empty_like(right)
        : linalg.solve_triangular(overlap.tril(-1), right, upper: false, left: true, unitriangular: true);

    /// <summary>Some tokens, with the heads before them.</summary>
    private static Tensor Chunk(Tensor x, long at, long count) => x.narrow(1, at, count).transpose(1, 2);
}
