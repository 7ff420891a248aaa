namespace Ndif.Benchmarks.Harness;

/// <summary>A measured value, and what it is compared with.</summary>
/// <param name="Name">"group.what"</param>
/// <param name="Baseline">The limit or baseline that was measured in the same run, with its own number, so that a reader can judge the value.</param>
/// <param name="Goal">Null if the figure is for information only.</param>
internal sealed record Measurement(string Name, double Value, string Unit, string Baseline, Goal? Goal = null)
{
    /// <summary>Null if there is no goal.</summary>
    public bool? IsMet => Goal is { } goal ? goal.IsMetBy(Value) : null;
}

/// <summary>What a figure must reach: at most a bound, or at least.</summary>
internal readonly record struct Goal(double Bound, bool IsMinimum = false)
{
    public static Goal AtLeast(double bound) => new(bound, IsMinimum: true);

    public bool IsMetBy(double value) => IsMinimum ? value >= Bound : value <= Bound;

    public override string ToString() => FormattableString.Invariant($"{(IsMinimum ? ">=" : "<=")} {Bound:0.####}");
}
