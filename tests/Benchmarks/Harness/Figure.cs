namespace Ndif.Benchmarks.Harness;

/// <summary>One number that was measured, and what it was held against.</summary>
/// <param name="Name">"group.what"</param>
/// <param name="Limit">The limit or the rival that was measured in the same run, with its own number: a reader must be able to judge the value.</param>
/// <param name="Goal">Null if the figure is for information only.</param>
internal sealed record Figure(string Name, double Value, string Unit, string Limit, Goal? Goal = null)
{
    /// <summary>Null if there is no goal.</summary>
    public bool? Met => Goal is { } goal ? goal.IsMetBy(Value) : null;
}

/// <summary>What a figure has to reach: no more than a bound, or no less.</summary>
internal readonly record struct Goal(double Bound, bool IsLeast = false)
{
    public static Goal AtLeast(double bound) => new(bound, IsLeast: true);

    public bool IsMetBy(double value) => IsLeast ? value >= Bound : value <= Bound;

    public override string ToString() => FormattableString.Invariant($"{(IsLeast ? ">=" : "<=")} {Bound:0.####}");
}
