using Ndif.Running;

namespace Ndif;

/// <summary>Where a trace runs. <c>remote: true</c> is <see cref="Remote"/>, <c>false</c> is <see cref="Local"/>.</summary>
public sealed record Backend
{
    private Backend(BackendKind kind, Uri? host = null, string? apiKey = null, string? caFile = null) => (Kind, Host, ApiKey, CaFile) = (kind, host, apiKey, caFile);

    /// <summary>In this process, on weights that are loaded here.</summary>
    public static Backend Local { get; } = new(BackendKind.Local);

    /// <summary>In this process, from the bytes that would have been sent: finds what does not travel.</summary>
    public static Backend Loopback { get; } = new(BackendKind.Loopback);

    /// <summary>On the configured service (NDIF_HOST, NDIF_API_KEY).</summary>
    public static Backend Remote { get; } = new(BackendKind.Remote);

    /// <summary>On a certain service.</summary>
    /// <param name="caFile">PEM file of the authority that its TLS certificate is from, if this machine does not trust it; null for NDIF_CA_FILE.</param>
    public static Backend At(string host, string? apiKey = null, string? caFile = null) => new(BackendKind.Remote, NdifConfig.ParseHost(host), apiKey, caFile);

    /// <summary>The runner for this backend of a model that exists only in this process; null if it would have to be remote.</summary>
    public IProgramRunner? GetLocalRunner(IProgramRunner localRunner) => Kind switch
    {
        BackendKind.Local => localRunner,
        BackendKind.Loopback => new LoopbackRunner(localRunner),
        _ => null,
    };

    internal BackendKind Kind { get; }

    internal Uri? Host { get; }

    internal string? ApiKey { get; }

    internal string? CaFile { get; }

    public static implicit operator Backend(bool remote) => remote ? Remote : Local;

    /// <summary>Without the key.</summary>
    public override string ToString() => Host is null ? Kind.ToString() : $"{Kind} {Host}";
}

internal enum BackendKind { Local, Loopback, Remote }
