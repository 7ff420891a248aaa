using System.ComponentModel.DataAnnotations;
using System.Net;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>Everything about a gateway that an operator may choose. Checked by <see cref="Validate"/> before it starts.</summary>
public sealed class GatewayOptions
{
    /// <summary>The address to listen on: an IP address, <c>localhost</c>, or <c>*</c> for all. Default: 127.0.0.1.</summary>
    [Required]
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>TCP port of gRPC (HTTP/2); with a certificate of everything. 0 lets the system choose. Default: 5080.</summary>
    [Range(0, 65535)]
    public int GrpcPort { get; init; } = 5080;

    /// <summary>
    /// TCP port of plain HTTP/1.1: status, dashboard, metrics, blobs, gRPC-Web. 0 lets the system choose. Not used with a certificate.
    /// Default: 5081.
    /// </summary>
    [Range(0, 65535)]
    public int HttpPort { get; init; } = 5081;

    /// <summary>PEM or PKCS#12 file of the TLS certificate; null for no TLS. Default: null.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>PEM file of the certificate's private key, if it is not in <see cref="CertificateFile"/>. Default: null.</summary>
    public string? CertificateKeyFile { get; init; }

    /// <summary>Password of the private key. Default: null.</summary>
    public string? CertificatePassword { get; init; }

    /// <summary>
    /// Callers without a key may run experiments, all as one owner. Only on a loopback address: start-up is refused elsewhere.
    /// Default: false.
    /// </summary>
    public bool AllowAnonymous { get; init; }

    /// <summary>The largest request message, in bytes. Larger constants are uploaded as blobs. Default: 64 MiB.</summary>
    [Range(64 * 1024, 1 << 30)]
    public int MessageBytes { get; init; } = 64 << 20;

    /// <summary>The most nodes of a program. Default: 100,000.</summary>
    [Range(1, 10_000_000)]
    public int Nodes { get; init; } = 100_000;

    /// <summary>The deepest nesting of regions in a program. Default: 64.</summary>
    [Range(1, 1000)]
    public int Nesting { get; init; } = 64;

    /// <summary>The most bytes of a program's constants together, inline and blobs. Default: 4 GiB.</summary>
    [Range(0, long.MaxValue)]
    public long ConstantBytes { get; init; } = 4L << 30;

    /// <summary>The largest single blob that may be uploaded, in bytes. Default: 4 GiB.</summary>
    [Range(1, long.MaxValue)]
    public long BlobBytes { get; init; } = 4L << 30;

    /// <summary>The most bytes that a job may save; workers enforce it. Default: 16 GiB.</summary>
    [Range(1, long.MaxValue)]
    public long ResultBytes { get; init; } = 16L << 30;

    /// <summary>The most tokens of a job, read and generated, as far as they are known beforehand. Default: 1,000,000.</summary>
    [Range(1, int.MaxValue)]
    public int Tokens { get; init; } = 1_000_000;

    /// <summary>The longest a job may run, and what one gets that asks for no limit. Default: 1 hour.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00")]
    public TimeSpan WallTime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>The most jobs of all keys that wait at once; more are refused for the moment. Default: 100,000.</summary>
    [Range(1, int.MaxValue)]
    public int QueueDepth { get; init; } = 100_000;

    /// <summary>The part of <see cref="QueueDepth"/> that the waiting jobs of one key may fill. Default: 0.5.</summary>
    [Range(0.000_001, 1)]
    public double QueueShare { get; init; } = 0.5;

    /// <summary>
    /// What a tier of keys gets: its share of service relative to others, its limits where they differ from the ones above. A key of an
    /// unlisted tier is treated as <c>standard</c>. Default: standard (weight 1, 64 jobs in flight, 600 a minute), priority (4, 256, 6000).
    /// </summary>
    [Required]
    public IReadOnlyDictionary<string, Tier> Tiers { get; init; } = new Dictionary<string, Tier>(StringComparer.Ordinal)
    {
        ["standard"] = new(Weight: 1, JobsInFlight: 64, JobsPerMinute: 600),
        ["priority"] = new(Weight: 4, JobsInFlight: 256, JobsPerMinute: 6000),
    };

    /// <summary>Bytes of one gRPC message of a blob's download. 256 KiB to 1 MiB was measured fastest. Default: 512 KiB.</summary>
    [Range(4 * 1024, 4 << 20)]
    public int ChunkBytes { get; init; } = 512 << 10;

    /// <summary>How long an idle connection may be silent before it is asked for a sign of life. Default: 20 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>
    /// How long the gateway waits for the head of a request, for the first message of a Run, and for the next chunk of an upload; a body
    /// may be slower than 240 bytes a second for as long. Who is slower is cut off. Default: 30 seconds.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01.5", "01:00:00")]
    public TimeSpan RequestPatience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a client may take nothing of what is sent to it before its stream is cut off; it can come back to the job. Until then it
    /// waits at the cost of about a megabyte. Default: 2 minutes.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "1.00:00:00")]
    public TimeSpan ReaderPatience { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>How often expired leases are put back: a lost worker's job waits for its lease, and up to this long. Default: 0.25 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan ReapInterval { get; init; } = TimeSpan.FromSeconds(0.25);

    /// <summary>How often those who wait are told their position, if it has changed. Default: 1 second.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan TellInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How often expired blobs are deleted. Default: 1 minute.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "1.00:00:00")]
    public TimeSpan SweepInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long open calls may take to end when the gateway stops. Default: 5 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan ShutdownTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>True if only this machine can reach <see cref="Host"/>.</summary>
    public bool IsLoopback => Address is { } address && IPAddress.IsLoopback(address);

    public bool HasTls => CertificateFile is not null;

    /// <summary>The address to bind; null for all addresses of the machine.</summary>
    internal IPAddress? Address => Host switch
    {
        "*" or "+" => null,
        "localhost" => IPAddress.Loopback,
        _ => IPAddress.Parse(Host),
    };

    /// <summary>The limits as a client sees them, of the tier where it has its own.</summary>
    public ProgramLimits GetLimits(string tier)
    {
        Tier own = GetTier(tier);
        return new ProgramLimits
        {
            Nodes = (uint)(own.Nodes ?? Nodes),
            Nesting = (uint)Nesting,
            MessageBytes = (ulong)MessageBytes,
            ConstantBytes = (ulong)(own.ConstantBytes ?? ConstantBytes),
            ResultBytes = (ulong)(own.ResultBytes ?? ResultBytes),
            WallSeconds = (own.WallTime ?? WallTime).TotalSeconds,
            Tokens = (uint)(own.Tokens ?? Tokens),
            JobsInFlight = (uint)own.JobsInFlight,
            JobsPerMinute = (uint)own.JobsPerMinute,
            JobsWaiting = (uint)GetQuota(tier).Waiting,
            QueueDepth = (uint)QueueDepth,
        };
    }

    /// <summary>What the queue must hold a key of this tier to.</summary>
    public Quota GetQuota(string tier)
    {
        Tier own = GetTier(tier);
        int waiting = (int)Math.Max(1, Math.Ceiling((own.QueueShare ?? QueueShare) * QueueDepth));
        return new Quota(own.JobsInFlight, own.JobsPerMinute, waiting, QueueDepth);
    }

    public Tier GetTier(string name) => Tiers.TryGetValue(name, out Tier? tier) ? tier : Tiers["standard"];

    /// <summary>Refuses options that are out of bounds or unsafe, with all reasons in one sentence each.</summary>
    /// <exception cref="OptionsException"/>
    public void Validate()
    {
        List<string> reasons = [.. OptionsValidator.GetViolations(this)];
        if (!IPAddress.TryParse(Host, out _) && Host is not ("*" or "+" or "localhost"))
            reasons.Add($"Host `{Host}` is not an IP address, `localhost` or `*`.");
        else if (AllowAnonymous && !IsLoopback)
            reasons.Add($"Callers without a key are only allowed on a loopback address, and `{Host}` can be reached from elsewhere. "
                + "Listen on 127.0.0.1, or require keys and make one with `ndif keys create`.");
        if (!Tiers.ContainsKey("standard")) reasons.Add("Tiers has no `standard`, which every other key falls back to.");
        foreach ((string name, Tier tier) in Tiers) reasons.AddRange(tier.GetValidationErrors(name));
        if (CertificateFile is { } file && !File.Exists(file)) reasons.Add($"The certificate file `{file}` does not exist.");
        if (reasons.Count > 0) throw new OptionsException(reasons);
    }
}

/// <summary>The gateway refuses to start with these options.</summary>
public sealed class OptionsException(IReadOnlyList<string> reasons)
    : Exception("The gateway cannot start: " + string.Join(" ", reasons));
