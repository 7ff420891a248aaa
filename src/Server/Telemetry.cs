using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Ndif.Server;

/// <summary>The metrics and traces of the gateway. They are exported at <c>/metrics</c>, and available to OpenTelemetry by name.</summary>
public static class Telemetry
{
    public const string Name = "Ndif.Server";

    public static ActivitySource Source { get; } = new(Name);

    private static readonly Meter _meter = new(Name);

    /// <summary>The duration of requests in seconds, from the headers to the last byte, by route and status.</summary>
    public static Histogram<double> RequestSeconds { get; } =
        _meter.CreateHistogram<double>("request_seconds", description: "Duration of requests.");

    /// <summary>The number of jobs accepted into the queue.</summary>
    public static Counter<long> Submissions { get; } =
        _meter.CreateCounter<long>("submissions", description: "Jobs accepted.");

    /// <summary>The number of calls refused because of their key or program, by error code.</summary>
    public static Counter<long> Refusals { get; } =
        _meter.CreateCounter<long>("refusals", description: "Calls refused, by error code.");

    /// <summary>The number of connections that were closed because the gateway had too many.</summary>
    public static Counter<long> DisplacedConnections { get; } =
        _meter.CreateCounter<long>("displaced_connections", description: "Connections closed because there were too many.");

    /// <summary>The number of events sent to clients, by kind.</summary>
    public static Counter<long> Events { get; } =
        _meter.CreateCounter<long>("events", description: "Events sent to clients, by kind.");

    /// <summary>The bytes of events sent to clients.</summary>
    public static Counter<long> EventBytes { get; } =
        _meter.CreateCounter<long>("event_bytes", description: "Bytes of events sent to clients.");

    /// <summary>The bytes of blobs transferred, by direction (in, out).</summary>
    public static Counter<long> BlobBytes { get; } =
        _meter.CreateCounter<long>("blob_bytes", description: "Bytes of blobs, by direction.");
}
