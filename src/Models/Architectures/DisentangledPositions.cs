using System.Text.Json;
using Ndif.Models.Config;
using Ndif.Models.ForwardSource;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Models.Architectures;

/// <summary>The distances of a disentangled attention.</summary>
/// <param name="Buckets">Distances beyond half of this number share a bucket with others; 0 for one row for each distance.</param>
/// <param name="MaxDistance">The largest distance.</param>
/// <remarks>build_relative_position in transformers/models/deberta_v2/modeling_deberta_v2.py</remarks>
internal sealed record DisentangledPositions(int Buckets, int MaxDistance)
{
    /// <summary>The table has a row for each distance from -span to span - 1.</summary>
    public int Span => Buckets > 0 ? Buckets : MaxDistance;

    /// <summary>Whether the embeddings of distances are normalized.</summary>
    public bool HasNorm { get; private init; }

    /// <summary>Whether embeddings of distances are projected as the hidden states are, and not by projections of their own.</summary>
    public bool SharesProjections { get; private init; }

    public bool IsContentToPosition { get; private init; }

    public bool IsPositionToContent { get; private init; }

    public static DisentangledPositions Read(ConfigReader json)
    {
        if (!json.Flag("relative_attention", false))
            throw json.InvalidValue("relative_attention", "must be true: attention is by content and distance", "false");
        long buckets = json.Integer("position_buckets", -1), distance = json.Integer("max_relative_positions", -1);
        if (buckets > int.MaxValue / 2) throw json.InvalidValue("position_buckets", "is too large", $"{buckets}");
        if (distance > int.MaxValue / 2) throw json.InvalidValue("max_relative_positions", "is too large", $"{distance}");
        int maxDistance = distance < 1 ? json.Size("max_position_embeddings", 512) : (int)distance;
        if (maxDistance > int.MaxValue / 2) throw json.InvalidValue("max_position_embeddings", "is too large", $"{maxDistance}");
        string[] types = AttentionTypes(json);
        return new DisentangledPositions((int)Math.Max(0, buckets), maxDistance)
        {
            HasNorm = json.Text("norm_rel_ebd", "none").Split('|').Any(name => name.Trim() == "layer_norm"),
            SharesProjections = json.Flag("share_att_key", false),
            IsContentToPosition = types.Contains("c2p"), IsPositionToContent = types.Contains("p2c"),
        };
    }

    /// <summary>A list, or one text with bars between.</summary>
    private static string[] AttentionTypes(ConfigReader json) => json.Raw("pos_att_type") is { ValueKind: JsonValueKind.String }
        ? [.. json.Text("pos_att_type").ToLowerInvariant().Split('|').Select(type => type.Trim())]
        : [.. json.Texts("pos_att_type")];

    /// <summary>The distance of each token to each other, or its bucket.</summary>
    /// <returns>[1, seq, kvSeq] int64</returns>
    [Operation("get_rel_pos")]
    public Tensor Distances(long seqLen, Device device)
    {
        if (device.type == DeviceType.META) return empty([1, seqLen, seqLen], ScalarType.Int64, device);
        using var scope = NewDisposeScope();
        Tensor distances = arange(seqLen, device: device).unsqueeze(1) - arange(seqLen, device: device);       // [seq, kvSeq]
        if (Buckets > 0) distances = ToBuckets(distances);                                                      // [seq, kvSeq]
        return distances.unsqueeze(0).MoveToOuterDisposeScope();
    }

    /// <summary>The first half of the buckets are distances, the others grow with the logarithm.</summary>
    /// <remarks>make_log_bucket_position, with the same operations in float32, whose rounding decides at the edge of a bucket</remarks>
    private Tensor ToBuckets(Tensor distances)
    {
        int half = Buckets / 2;
        Tensor magnitudes = distances.abs();                                                                    // [seq, kvSeq]
        Tensor shares = magnitudes.clamp_min(1).to(ScalarType.Float32) / half;                                  // [seq, kvSeq]
        Tensor logarithmOfMax = tensor((float)((MaxDistance - 1) / (double)half)).log().to(distances.device);   // []
        Tensor logarithms = (shares.log() / logarithmOfMax * (half - 1)).ceil() + half;                         // [seq, kvSeq]
        Tensor far = (logarithms * distances.sign()).to(ScalarType.Int64);                                      // [seq, kvSeq]
        return where(magnitudes <= half, distances, far);
    }
}
