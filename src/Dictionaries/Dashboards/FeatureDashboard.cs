namespace Ndif.Dictionaries.Dashboards;

/// <summary>A text in which a feature is active, around the token where it is most active.</summary>
/// <param name="Text">The number of the text.</param>
/// <param name="Position">The position of the token with the highest activation in the text.</param>
/// <param name="Activation">The highest activation.</param>
/// <param name="First">The position of the first token that is kept.</param>
/// <param name="Tokens">The tokens that are kept.</param>
/// <param name="Activations">The activation at each of them.</param>
public sealed record ActivationExample(
    int Text, int Position, double Activation, int First, IReadOnlyList<string> Tokens, IReadOnlyList<double> Activations);

/// <summary>How much a feature changes the logit of a token for each unit of its activation, up to the scale of the final norm.</summary>
public sealed record TokenLogit(int Id, string Token, double Effect);

/// <summary>What one feature reads and writes, over a set of texts.</summary>
public sealed class FeatureDashboard
{
    /// <summary>The number of the feature.</summary>
    public required int Feature { get; init; }

    /// <summary>The fraction of tokens at which it is active.</summary>
    public required double Density { get; init; }

    /// <summary>The highest activation.</summary>
    public required double MaxActivation { get; init; }

    /// <summary>Its activations above 0.</summary>
    public required ActivationHistogram Histogram { get; init; }

    /// <summary>The texts with the highest activations, highest first.</summary>
    public required IReadOnlyList<ActivationExample> Examples { get; init; }

    /// <summary>The tokens whose logits it raises most. Empty if its directions are not those of the residual stream.</summary>
    public required IReadOnlyList<TokenLogit> Raised { get; init; }

    /// <summary>The tokens whose logits it lowers most.</summary>
    public required IReadOnlyList<TokenLogit> Lowered { get; init; }
}
