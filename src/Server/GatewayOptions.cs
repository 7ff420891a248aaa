using System.ComponentModel.DataAnnotations;
using System.Net;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>The options of a gateway. <see cref="Validate"/> checks them before the gateway starts.</summary>
public sealed class GatewayOptions
{
    /// <summary>A key stores at most this part of what all keys may, so that one key alone never fills the service.</summary>
    private const int MinKeysToFillStorage = 4;

    /// <summary>The address to listen on: an IP address, <c>localhost</c>, or <c>*</c> for all. Default: 127.0.0.1.</summary>
    [Required]
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>The TCP port of gRPC (HTTP/2); with a certificate, of all protocols. 0 lets the system choose. Default: 5080.</summary>
    [Range(0, 65535)]
    public int GrpcPort { get; init; } = 5080;

    /// <summary>
    /// The TCP port of HTTP/1.1: status, dashboard, metrics, blobs, gRPC-Web. 0 lets the system choose. Not used with a certificate.
    /// Default: 5081.
    /// </summary>
    [Range(0, 65535)]
    public int HttpPort { get; init; } = 5081;

    /// <summary>
    /// The TCP port of KEDA's external scaler (gRPC, without TLS and without keys); 0 for none. Do not make it reachable from outside the
    /// cluster. Default: 0.
    /// </summary>
    [Range(0, 65535)]
    public int ScalerPort { get; init; }

    /// <summary>The PEM or PKCS#12 file of the TLS certificate; null for no TLS. Default: null.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>The PEM file of the private key, if it is not in <see cref="CertificateFile"/>. Default: null.</summary>
    public string? CertificateKeyFile { get; init; }

    /// <summary>The password of the private key. Default: null.</summary>
    public string? CertificatePassword { get; init; }

    /// <summary>
    /// Allows callers without a key to run experiments; all of them are one owner. The gateway does not start with this option on an
    /// address that is not loopback. Default: false.
    /// </summary>
    public bool AllowAnonymous { get; init; }

    /// <summary>
    /// How many requests without a valid key the gateway answers per second, of all callers together: status, metrics, dashboard,
    /// reflection, wrong keys. As many as are answered in 5 seconds wait, and further ones are refused; probes are only delayed, by at
    /// most 0.1 seconds. Default: 200.
    /// </summary>
    [Range(1, 1_000_000)]
    public int KeylessRequestsPerSecond { get; init; } = 200;

    /// <summary>
    /// Folders of the workers: operators may deploy the folders and GGUF files below them by their paths. Without any, only ids on the
    /// Hugging Face hub and the bundled model can be deployed; a worker loads any folder with its own `--model`. Default: none.
    /// </summary>
    public IReadOnlyList<string> ModelFolders { get; init; } = [];

    /// <summary>
    /// The maximum size of a request message, in bytes, also when it was compressed. Larger constants are uploaded as blobs. The objects
    /// that are decoded from a message may use 32 times as much memory, and at least 128 MiB. Default: 4 MiB.
    /// </summary>
    [Range(64 * 1024, 1 << 30)]
    public int MessageBytes { get; init; } = 4 << 20;

    /// <summary>The maximum number of nodes of a program. Default: 100,000.</summary>
    [Range(1, 10_000_000)]
    public int Nodes { get; init; } = 100_000;

    /// <summary>The maximum nesting depth of regions in a program. Default: 64.</summary>
    [Range(1, 1000)]
    public int Nesting { get; init; } = 64;

    /// <summary>The maximum total size of a program's constants, inline and blobs, in bytes. Default: 4 GiB.</summary>
    [Range(0, long.MaxValue)]
    public long ConstantBytes { get; init; } = 4L << 30;

    /// <summary>The maximum size of an uploaded blob, in bytes. Default: 4 GiB.</summary>
    [Range(1, long.MaxValue)]
    public long BlobBytes { get; init; } = 4L << 30;

    /// <summary>
    /// The maximum number of bytes that a key may upload through one gateway in an hour, also those of refused uploads. Default: 64 GiB.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long UploadBytesPerHour { get; init; } = 64L << 30;

    /// <summary>
    /// The maximum number of bytes of a key's jobs in the queue: programs, events and answers, which Redis keeps in memory until the jobs
    /// are deleted. At most a quarter of <see cref="TotalQueueBytes"/> counts, unless callers need no key. Default: 1 GiB.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long QueueBytes { get; init; } = 1L << 30;

    /// <summary>
    /// The maximum number of bytes of a key's results and uploads in the blob store, until they are deleted. At most a quarter of
    /// <see cref="TotalBlobBytes"/> counts, unless callers need no key. Default: 256 GiB.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long StoredBlobBytes { get; init; } = 256L << 30;

    /// <summary>
    /// The maximum number of bytes of the jobs of all keys in the queue. Set it below the `maxmemory` of Redis, of which they use up to
    /// twice as much. Default: 8 GiB.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long TotalQueueBytes { get; init; } = 8L << 30;

    /// <summary>
    /// The maximum number of bytes of the results and uploads of all keys in the blob store. Set it below the size of its disk, with room
    /// for the uploads and results that are being written. Default: 1 TiB.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long TotalBlobBytes { get; init; } = 1L << 40;

    /// <summary>The maximum number of bytes that a job may send back; workers enforce it. Default: 16 GiB.</summary>
    [Range(1, long.MaxValue)]
    public long ResultBytes { get; init; } = 16L << 30;

    /// <summary>The maximum number of tokens of a job, read and generated, as estimated at submission. Default: 1,000,000.</summary>
    [Range(1, int.MaxValue)]
    public int Tokens { get; init; } = 1_000_000;

    /// <summary>
    /// The maximum, and the default, run time of a job, without the time in which it waits or other jobs run. Default: 10 minutes.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00")]
    public TimeSpan WallTime { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>The maximum number of waiting jobs of all keys; further jobs are refused as UNAVAILABLE. Default: 100,000.</summary>
    [Range(1, int.MaxValue)]
    public int QueueDepth { get; init; } = 100_000;

    /// <summary>The fraction of <see cref="QueueDepth"/> that the waiting jobs of one key may fill. Default: 0.5.</summary>
    [Range(0.000_001, 1)]
    public double QueueShare { get; init; } = 0.5;

    /// <summary>
    /// The tiers of keys: their share of service, and their limits where they differ from those above. A key of an unlisted tier is
    /// treated as <c>standard</c>. Default: standard (weight 1, 64 jobs in flight, 600 per minute), priority (4, 256, 6000;
    /// run time 1 hour).
    /// </summary>
    [Required]
    public IReadOnlyDictionary<string, Tier> Tiers { get; init; } = new Dictionary<string, Tier>(StringComparer.Ordinal)
    {
        ["standard"] = new(Weight: 1, JobsInFlight: 64, JobsPerMinute: 600),
        ["priority"] = new(Weight: 4, JobsInFlight: 256, JobsPerMinute: 6000) { WallTime = TimeSpan.FromHours(1) },
    };

    /// <summary>
    /// The size of one gRPC message of a blob download, in bytes. 256 KiB to 1 MiB was measured as fastest. Default: 512 KiB.
    /// </summary>
    [Range(4 * 1024, 4 << 20)]
    public int ChunkBytes { get; init; } = 512 << 10;

    /// <summary>The delay and the timeout of HTTP/2 keep-alive pings on an idle connection. Default: 20 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>
    /// The timeout for the headers of a request, for the first message of a Run call, and for the next chunk of an upload; also the grace
    /// period in which a request body may be slower than 240 bytes per second. A slower client is disconnected. Default: 30 seconds.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:01.5", "01:00:00")]
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a client may read nothing before its stream is aborted; it can resume the job later. A stalled stream costs about one
    /// megabyte of memory until then. Default: 2 minutes.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "1.00:00:00")]
    public TimeSpan StalledReaderTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>The interval at which jobs with expired leases are returned to the queue. Default: 0.25 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan LeaseCleanupInterval { get; init; } = TimeSpan.FromSeconds(0.25);

    /// <summary>The interval at which changed queue positions are published. Default: 1 second.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan QueuePositionInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The interval at which expired blobs are deleted. Default: 1 minute.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "1.00:00:00")]
    public TimeSpan BlobCleanupInterval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The maximum number of names under which one key may publish edits of models; 0 lets no key publish any. Default: 100.
    /// </summary>
    [Range(0, 10_000)]
    public int EditsPerKey { get; init; } = 100;

    /// <summary>The interval at which the certificate files are checked for changes. Default: 10 seconds.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "1.00:00:00")]
    public TimeSpan CertificateReloadInterval { get; init; } = TimeSpan.FromSeconds(10);

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

    /// <summary>Returns the limits of a tier as clients see them.</summary>
    public ProgramLimits GetLimits(string tier)
    {
        Tier own = GetTier(tier);
        StorageLimits storage = GetStorageLimits(tier);
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
            QueueBytes = (ulong)storage.QueueBytes,
            StoredBlobBytes = (ulong)storage.BlobBytes,
        };
    }

    /// <summary>Returns the quota that the queue enforces for a key of this tier.</summary>
    public Quota GetQuota(string tier)
    {
        Tier own = GetTier(tier);
        int waiting = (int)Math.Max(1, Math.Ceiling((own.QueueShare ?? QueueShare) * QueueDepth));
        return new Quota(own.JobsInFlight, own.JobsPerMinute, waiting, QueueDepth);
    }

    /// <summary>Returns the limits on the bytes that a key of this tier stores, and on those of all keys.</summary>
    public StorageLimits GetStorageLimits(string tier)
    {
        Tier own = GetTier(tier);
        (long queueBytes, long blobBytes) = GetMaxStorageOfKey();
        return new StorageLimits(
            Math.Min(own.QueueBytes ?? QueueBytes, queueBytes), Math.Min(own.StoredBlobBytes ?? StoredBlobBytes, blobBytes),
            TotalQueueBytes, TotalBlobBytes);
    }

    /// <summary>
    /// Returns what a key stores at most, whatever its tier allows: a part of what all keys may. Where callers need no key, most are one
    /// owner, which may store everything.
    /// </summary>
    public (long QueueBytes, long BlobBytes) GetMaxStorageOfKey()
    {
        return AllowAnonymous ? (TotalQueueBytes, TotalBlobBytes) : (Divide(TotalQueueBytes), Divide(TotalBlobBytes));

        static long Divide(long total) => Math.Max(1, total / MinKeysToFillStorage);
    }

    /// <summary>Returns what is stored, with the limits of a tier.</summary>
    /// <param name="tier">Null for what all keys store.</param>
    internal StorageUse DescribeStorage(StoredBytes stored, string? tier)
    {
        StorageLimits? own = tier is null ? null : GetStorageLimits(tier);
        return new StorageUse
        {
            QueueBytes = (ulong)Math.Max(0, stored.Queue), QueueBytesLimit = (ulong)(own?.QueueBytes ?? TotalQueueBytes),
            BlobBytes = (ulong)Math.Max(0, stored.Blobs), BlobBytesLimit = (ulong)(own?.BlobBytes ?? TotalBlobBytes),
        };
    }

    public Tier GetTier(string name) => Tiers.TryGetValue(name, out Tier? tier) ? tier : Tiers["standard"];

    /// <summary>Throws if an option is out of bounds or unsafe.</summary>
    /// <exception cref="OptionsException">One sentence for each reason.</exception>
    public void Validate()
    {
        List<string> reasons = [.. OptionsValidator.GetViolations(this)];
        if (!IPAddress.TryParse(Host, out _) && Host is not ("*" or "+" or "localhost"))
            reasons.Add($"Host `{Host}` is not an IP address, `localhost` or `*`.");
        else if (AllowAnonymous && !IsLoopback)
            reasons.Add($"Callers without a key are only allowed on a loopback address, and `{Host}` can be reached from other machines. "
                + "Listen on 127.0.0.1, or require keys and create one with `ndif keys create`.");
        if (!Tiers.ContainsKey("standard")) reasons.Add("Tiers has no `standard`, which is the tier of all keys of unlisted tiers.");
        foreach ((string name, Tier tier) in Tiers) reasons.AddRange(tier.GetValidationErrors(name));
        if (CertificateFile is { } file && !File.Exists(file)) reasons.Add($"The certificate file `{file}` does not exist.");
        if (CertificateKeyFile is { } key && !File.Exists(key)) reasons.Add($"The file of the certificate's key, `{key}`, does not exist.");
        if (CertificateFile is null && CertificateKeyFile is not null) reasons.Add("There is a key of a certificate, but no certificate.");
        if (reasons.Count > 0) throw new OptionsException(reasons);
    }
}
