using System.ComponentModel.DataAnnotations;

namespace Ndif.Queue.Blobs;

/// <summary>Where large tensors lie and for how long.</summary>
public sealed record BlobOptions
{
    /// <summary>
    /// The directory; created if it is not there. Processes that share jobs share it (a volume). Or <c>s3://bucket/prefix</c>, with
    /// <c>?endpoint=http://host:9000</c> for another store than Amazon's that speaks S3, <c>region</c>, and <c>path-style=false</c> if such
    /// a store wants the bucket in its host name; credentials come from where AWS's tools find them (AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, a profile, the machine's or container's role). Default: `ndif/blobs` in the user's local application data.
    /// </summary>
    [Required]
    public string Root { get; init; } =
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "ndif", "blobs");

    /// <summary>How long a blob is kept after somebody has last asked for it. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00")]
    public TimeSpan TimeToLive { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Bytes of one request to a bucket, and of memory for each upload. Stores want 5 MiB or more, and 10,000 parts at most. Default 16 MiB.</summary>
    [Range(5 << 20, 1 << 30)]
    public int PartBytes { get; init; } = 16 << 20;

    /// <summary>These options, or an <see cref="NdifException"/> that names what is out of bounds.</summary>
    public BlobOptions Validate() => OptionsValidator.Validate(this, nameof(BlobOptions));
}
