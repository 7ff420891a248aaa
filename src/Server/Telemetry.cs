using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Ndif.Server;

/// <summary>What the gateway measures. Exported at <c>/metrics</c>; any OpenTelemetry listener may subscribe to the same names.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Server";

    public static ActivitySource Source { get; } = new(Name);

    private static readonly Meter _meter = new(Name);

    /// <summary>Seconds from a request's head to its last byte, by rpc (or route) and status.</summary>
    public static Histogram<double> RequestSeconds { get; } = _meter.CreateHistogram<double>("request_seconds", description: "Duration of requests.");

    /// <summary>Jobs accepted into the queue.</summary>
    public static Counter<long> Submissions { get; } = _meter.CreateCounter<long>("submissions", description: "Jobs accepted.");

    /// <summary>Calls refused for their key or their program, by error code.</summary>
    public static Counter<long> Refusals { get; } = _meter.CreateCounter<long>("refusals", description: "Calls refused, by error code.");

    /// <summary>Events sent to clients, by kind.</summary>
    public static Counter<long> Events { get; } = _meter.CreateCounter<long>("events", description: "Events sent to clients, by kind.");

    /// <summary>Bytes of events sent to clients.</summary>
    public static Counter<long> EventBytes { get; } = _meter.CreateCounter<long>("event_bytes", description: "Bytes of events sent to clients.");

    /// <summary>Bytes of blobs, by direction (in, out).</summary>
    public static Counter<long> BlobBytes { get; } = _meter.CreateCounter<long>("blob_bytes", description: "Bytes of blobs, by direction.");
}
