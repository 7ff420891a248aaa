namespace Ndif.Dictionaries.Dashboards;

/// <summary>The activations of features over one text.</summary>
/// <param name="Tokens">The ids of its tokens. [seq]</param>
/// <param name="Values">A column for each of the features that are looked at. [seq, features]</param>
public sealed record FeatureActivations(IReadOnlyList<int> Tokens, TensorData Values);
