using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>
/// The buckets of distances between tokens: one for each short distance, logarithmically wider ones up to a maximum, and one for all
/// longer ones. In an encoder, half of them are for the tokens after.
/// </summary>
/// <remarks>_relative_position_bucket in transformers/models/t5/modeling_t5.py; Raffel et al., 2020, section 2.1</remarks>
internal sealed class RelativePositionBuckets(bool isBidirectional, int numBuckets, int maxDistance)
{
    private readonly int _perDirection = isBidirectional ? numBuckets / 2 : numBuckets;

    /// <summary>The bucket of each query and key. The queries are the last of the columns.</summary>
    /// <returns>[seq, kvSeq] int64</returns>
    [Operation("relative_position_bucket")]
    public Tensor Of(long seqLen, long kvSeqLen, Device device)
    {
        using var scope = NewDisposeScope();
        long[] byDistance = ByDistance(kvSeqLen), table = new long[2 * kvSeqLen - 1]; // from the first key to the last one
        for (long after = 1 - kvSeqLen; after < kvSeqLen; after++)
            table[after + kvSeqLen - 1] = after <= 0 ? byDistance[-after]
                : isBidirectional ? _perDirection + byDistance[after] : byDistance[0];
        Tensor key = arange(kvSeqLen, device: device);                                              // [kvSeq]
        Tensor query = arange(kvSeqLen - seqLen, kvSeqLen, device: device).unsqueeze(1);            // [seq, 1]
        Tensor buckets = tensor(table, device: device);                                             // [2 kvSeq - 1]
        return buckets.index(TensorIndex.Tensor(key - query + (kvSeqLen - 1))).MoveToOuterDisposeScope();
    }

    /// <summary>The buckets of the distances 0, 1, ..., with PyTorch's roundings.</summary>
    private long[] ByDistance(long count)
    {
        int exact = _perDirection / 2;
        Tensor distance = arange(count, dtype: ScalarType.Float32, device: CPU);                    // [count]
        Tensor logarithm = (distance / exact).log() / Math.Log((double)maxDistance / exact);
        long[] large = (logarithm * (_perDirection - exact)).clamp_min(0).to(ScalarType.Int64).data<long>().ToArray();
        for (int i = 0; i < count; i++) large[i] = i < exact ? i : Math.Min(exact + large[i], _perDirection - 1);
        return large;
    }
}
