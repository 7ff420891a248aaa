using System.ComponentModel.DataAnnotations;

namespace Ndif.Queue.Blobs;

/// <summary>Where blobs are stored and for how long.</summary>
public sealed record BlobOptions
{
    /// <summary>
    /// A directory, which is created if it does not exist and must be shared by all processes of a cluster; or an S3 bucket:
    /// <c>s3://bucket/prefix</c>. The query of an S3 location can set <c>endpoint=http://host:9000</c> (an S3-compatible store),
    /// <c>region</c>, and <c>path-style=false</c> (for a store that expects the bucket in the host name). Credentials come from the
    /// default AWS chain: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the role of the machine or container.
    /// Default: `ndif/blobs` in the user's local application data.
    /// </summary>
    [Required]
    public string Root { get; init; } =
        Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify),
            "ndif", "blobs");

    /// <summary>How long a blob is kept after its last use. Default 24 h.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "365.00:00:00")]
    public TimeSpan TimeToLive { get; init; } = TimeSpan.FromHours(24);

    /// <summary>
    /// The size of one part of an upload to S3, in bytes; each upload buffers one part in memory. S3 requires at least 5 MiB and at most
    /// 10,000 parts. Default 16 MiB.
    /// </summary>
    [Range(5 << 20, 1 << 30)]
    public int PartBytes { get; init; } = 16 << 20;

    /// <summary>Returns these options. Throws an <see cref="NdifException"/> that names each option out of bounds.</summary>
    public BlobOptions Validate() => OptionsValidator.Validate(this, nameof(BlobOptions));
}
