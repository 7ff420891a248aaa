namespace Ndif.Dictionaries.Attribution;

/// <summary>Targets of edges: each is a direction of what a layer's transcoder, or the head, reads at a position.</summary>
internal sealed class Target
{
    private readonly Func<LanguageModel, Value> _directions;

    private Target(int[] layers, int[] positions, Func<LanguageModel, Value> directions) =>
        (Layers, Positions, _directions) = (layers, positions, directions);

    /// <summary>The layer of each target; the number of layers for a logit.</summary>
    public int[] Layers { get; }

    /// <summary>The position of each target.</summary>
    public int[] Positions { get; }

    /// <summary>Records the direction of each target. [targets, hidden] float32</summary>
    public Value GetDirections(LanguageModel model) => _directions(model);

    /// <summary>Logits above the mean of all: rows of the head's weight without their mean, and without a bias.</summary>
    public static Target OfLogits(int[] ids, int layers, int position) => new(Fill(ids.Length, layers), Fill(ids.Length, position), model =>
    {
        Value weight = model.LmHead.Parameter("weight").To(DType.Float32); // [vocab, hidden]
        return weight[ids] - weight.Mean(0, keepdim: true);
    });

    /// <summary>Pre-activations of features.</summary>
    public static Target OfFeatures(ActiveFeature[] features, AttachedTranscoders transcoders)
    {
        TensorData[] directions = [.. features.Select(feature => transcoders[feature.Layer].Sae.Weights.EncoderColumns([feature.Feature]))];
        int size = (int)directions[0].Shape[1];
        float[] all = [.. directions.SelectMany(direction => direction.ToArray<float>())];
        return new Target([.. features.Select(f => f.Layer)], [.. features.Select(f => f.Position)],
            _ => TensorData.FromArray(all, features.Length, size));
    }

    private static int[] Fill(int count, int value) => [.. Enumerable.Repeat(value, count)];
}
