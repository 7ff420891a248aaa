namespace Ndif.Activations;

/// <summary>How many texts were read and what was unusual about them; the members are those of <see cref="CollectReport"/>.</summary>
internal sealed record CollectCounts
{
    public long Texts { get; init; }

    public long Empty { get; init; }

    public long Truncated { get; init; }

    public long Skipped { get; init; }

    public long Invalid { get; init; }
}
