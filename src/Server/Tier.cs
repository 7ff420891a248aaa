using System.ComponentModel.DataAnnotations;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>The share and the limits of the keys of a tier. Null means the limit of <see cref="GatewayOptions"/>.</summary>
/// <param name="Weight">The share of service relative to other owners. Default: 1.</param>
/// <param name="JobsInFlight">The maximum number of jobs of one key that wait or run at once. Default: 64.</param>
/// <param name="JobsPerMinute">The maximum number of accepted jobs of one key per minute. As many requests may be refused in a minute, of
/// which
/// large ones count more. Default: 600.</param>
public sealed record Tier(
    [property: Range(0.000_001, 1000)] double Weight = 1, [property: Range(1, int.MaxValue)] int JobsInFlight = 64,
    [property: Range(1, int.MaxValue)] int JobsPerMinute = 600)
{
    /// <summary>The fraction of the queue depth that the waiting jobs of one key may fill.</summary>
    [Range(0.000_001, 1)]
    public double? QueueShare { get; init; }

    /// <summary>The maximum number of nodes of a program.</summary>
    [Range(1, 10_000_000)]
    public int? Nodes { get; init; }

    /// <summary>The maximum total size of the constants of a program, in bytes.</summary>
    [Range(0, long.MaxValue)]
    public long? ConstantBytes { get; init; }

    /// <summary>The maximum number of bytes that a key may upload in an hour.</summary>
    [Range(1, long.MaxValue)]
    public long? UploadBytesPerHour { get; init; }

    /// <summary>The maximum number of bytes of a key's jobs in the queue. At most a quarter of the gateway's total counts.</summary>
    [Range(1, long.MaxValue)]
    public long? QueueBytes { get; init; }

    /// <summary>
    /// The maximum number of bytes of a key's results and uploads in the blob store. At most a quarter of the gateway's total counts.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long? StoredBlobBytes { get; init; }

    /// <summary>The maximum number of bytes that a job may send back; the worker enforces it.</summary>
    [Range(1, long.MaxValue)]
    public long? ResultBytes { get; init; }

    /// <summary>The maximum number of tokens of a job, read and generated, as estimated at submission.</summary>
    [Range(1, int.MaxValue)]
    public int? Tokens { get; init; }

    /// <summary>The maximum, and the default, run time of a job. A worker may have a lower limit.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "7.00:00:00")]
    public TimeSpan? WallTime { get; init; }

    /// <summary>Returns one sentence for each value out of bounds.</summary>
    internal IEnumerable<string> GetValidationErrors(string name) =>
        OptionsValidator.GetViolations(this).Select(violation => $"In the tier `{name}`: {violation}");
}
