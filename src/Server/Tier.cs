using System.ComponentModel.DataAnnotations;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>What the keys of a tier get. What is null is the gateway's own (<see cref="GatewayOptions"/>).</summary>
/// <param name="Weight">Share of service relative to other owners; 1 is usual.</param>
/// <param name="JobsInFlight">The most jobs of one key that wait or run at once.</param>
/// <param name="JobsPerMinute">The most jobs of one key that are accepted in any minute; refused ones do not count.</param>
public sealed record Tier(
    [property: Range(0.000_001, 1000)] double Weight = 1, [property: Range(1, int.MaxValue)] int JobsInFlight = 64,
    [property: Range(1, int.MaxValue)] int JobsPerMinute = 600)
{
    /// <summary>The part of the queue's depth that one key's waiting jobs may fill.</summary>
    [Range(0.000_001, 1)]
    public double? QueueShare { get; init; }

    /// <summary>The most nodes of a program.</summary>
    [Range(1, 10_000_000)]
    public int? Nodes { get; init; }

    /// <summary>The most bytes of a program's constants together.</summary>
    [Range(0, long.MaxValue)]
    public long? ConstantBytes { get; init; }

    /// <summary>The most bytes that a job may send back; its worker enforces it.</summary>
    [Range(1, long.MaxValue)]
    public long? ResultBytes { get; init; }

    /// <summary>The most tokens of a job, read and generated, as far as they are known beforehand.</summary>
    [Range(1, int.MaxValue)]
    public int? Tokens { get; init; }

    /// <summary>The longest a job may run, and what one gets that asks for no limit. A worker may be set to less.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "7.00:00:00")]
    public TimeSpan? WallTime { get; init; }

    /// <summary>A sentence for each bound that does not hold.</summary>
    internal IEnumerable<string> GetValidationErrors(string name) =>
        OptionsValidator.GetViolations(this).Select(violation => $"In the tier `{name}`: {violation}");
}
