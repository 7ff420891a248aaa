using System.ComponentModel.DataAnnotations;

namespace Ndif.Queue;

/// <summary>Where large tensors lie and for how long.</summary>
public sealed record BlobOptions
{
    /// <summary>
    /// The directory; created if it is not there. Processes that share jobs share it (a volume). Default: `ndif/blobs` in the user's
    /// local application data.
    /// </summary>
    [Required]
    public string Root { get; init; } =
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "ndif", "blobs");

    /// <summary>How long a blob is kept after somebody has last asked for it. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00")]
    public TimeSpan TimeToLive { get; init; } = TimeSpan.FromHours(24);

    /// <summary>These options, or an <see cref="NdifException"/> that names what is out of bounds.</summary>
    public BlobOptions Validate() => QueueErrors.Validated(this);
}
