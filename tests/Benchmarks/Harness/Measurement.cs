namespace Ndif.Benchmarks.Harness;

/// <summary>One measured value and the baseline that it is compared with.</summary>
/// <param name="Name">The name, "group.subject".</param>
/// <param name="Baseline">
/// The limit or baseline that was measured in the same run, with its value, so that a reader can judge the figure.
/// </param>
/// <param name="Goal">The goal; null if the figure is for information only.</param>
internal sealed record Measurement(string Name, double Value, string Unit, string Baseline, Goal? Goal = null)
{
    /// <summary>True if the goal is reached; null if there is none.</summary>
    public bool? IsMet => Goal is { } goal ? goal.IsMetBy(Value) : null;
}

/// <summary>The goal of a figure: an upper or a lower bound.</summary>
internal readonly record struct Goal(double Bound, bool IsMinimum = false)
{
    public static Goal AtLeast(double bound) => new(bound, IsMinimum: true);

    public bool IsMetBy(double value) => IsMinimum ? value >= Bound : value <= Bound;

    public override string ToString() => FormattableString.Invariant($"{(IsMinimum ? ">=" : "<=")} {Bound:0.####}");
}
