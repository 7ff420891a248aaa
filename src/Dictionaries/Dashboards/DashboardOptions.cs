namespace Ndif.Dictionaries.Dashboards;

/// <summary>What dashboards show.</summary>
public sealed record DashboardOptions
{
    /// <summary>The features; null for all.</summary>
    public IReadOnlyList<int>? Features { get; init; }

    /// <summary>The number of texts with the highest activations that are kept. Default: 10.</summary>
    public int Examples { get; init; } = 10;

    /// <summary>The number of tokens before and after the highest activation of a text that are kept. Default: 10.</summary>
    public int Context { get; init; } = 10;

    /// <summary>The number of tokens whose logits a feature raises most, and lowers most. Default: 10.</summary>
    public int Logits { get; init; } = 10;

    /// <summary>The number of texts in one pass. Default: 16.</summary>
    public int BatchSize { get; init; } = 16;
}
