using Ndif.Protocol;

namespace Ndif.Dictionaries.Attribution;

/// <summary>A feature that is active at a position of the prompt.</summary>
internal readonly record struct ActiveFeature(int Layer, int Position, int Feature, double Activation);

/// <summary>What one pass over the prompt gives: active features, what they leave unexplained, and the logits of the next token.</summary>
internal sealed class PromptFeatures
{
    private PromptFeatures(IReadOnlyList<ActiveFeature> features, TensorData embedding, TensorData[] errors, double[] logits) =>
        (Features, Embedding, Errors, Logits) = (features, embedding, errors, logits);

    /// <summary>In the order of layers, positions and features.</summary>
    public IReadOnlyList<ActiveFeature> Features { get; }

    /// <summary>The input of the first layer. [seq, hidden]</summary>
    public TensorData Embedding { get; }

    /// <summary>What each transcoder does not explain. [seq, hidden]</summary>
    public TensorData[] Errors { get; }

    /// <summary>The logits at the last position. [vocab]</summary>
    public double[] Logits { get; }

    public static async Task<PromptFeatures> ComputeAsync(LanguageModel model, AttachedTranscoders transcoders, int[] tokens, int ignored,
        Backend? remote, CancellationToken cancellationToken)
    {
        float[] mask = [.. tokens.Select((_, position) => position < ignored ? 0f : 1f)];
        using Trace trace = model.Trace(tokens, remote);
        Saved embedding = model.Layers[0].Input[0].To(DType.Float32).Save();
        var saved = new (Saved Places, Saved Activations, Saved Error)[transcoders.Count];
        for (int layer = 0; layer < transcoders.Count; layer++)
        {
            Sae sae = transcoders[layer].Sae;
            Value input = transcoders[layer].Input;
            Value features = sae.Encode(input)[0] * TensorData.FromArray(mask, mask.Length, 1).To(sae.Config.Dtype); // [seq, features]
            Value places = features.NonZero(); // [active, 2]
            Value error = transcoders[layer].Target[0].To(DType.Float32) - sae.Decode(features, input[0]).To(DType.Float32);
            saved[layer] = (places.Save(), features[places[.., 0], places[.., 1]].To(DType.Float32).Save(), error.Save());
        }
        Saved logits = model.Logits[0, ^1].To(DType.Float32).Save();
        await trace.RunAsync(cancellationToken);
        return new PromptFeatures([.. saved.SelectMany((one, layer) => Read(layer, one.Places, one.Activations))], embedding,
            [.. saved.Select(one => one.Error.Tensor)], logits.ToArray<double>());
    }

    private static IEnumerable<ActiveFeature> Read(int layer, TensorData places, TensorData activations)
    {
        long[] at = places.ToArray<long>();
        double[] values = activations.ToArray<double>();
        return values.Select((value, i) => new ActiveFeature(layer, (int)at[2 * i], (int)at[2 * i + 1], value));
    }
}
