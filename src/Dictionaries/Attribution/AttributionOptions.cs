namespace Ndif.Dictionaries.Attribution;

/// <summary>Which nodes an attribution graph has, and how it is computed. The defaults are those of circuit-tracer.</summary>
public sealed record AttributionOptions
{
    /// <summary>The largest number of logits. Default: 10.</summary>
    public int MaxLogits { get; init; } = 10;

    /// <summary>The likeliest next tokens are taken until their probabilities reach this sum. Default: 0.95.</summary>
    public double LogitProbability { get; init; } = 0.95;

    /// <summary>The largest number of features; those with the most influence on the logits are taken. Default: 7500.</summary>
    public int MaxFeatures { get; init; } = 7500;

    /// <summary>
    /// The number of positions at the start whose features are not used, so that their error is the whole output. circuit-tracer leaves out
    /// the token that begins every text. Null, the default: 1 if the prompt begins with a special token, else 0.
    /// </summary>
    public int? IgnoredPositions { get; init; }

    /// <summary>The number of nodes whose incoming edges one pass computes. Default: 64.</summary>
    public int BatchSize { get; init; } = 64;
}
