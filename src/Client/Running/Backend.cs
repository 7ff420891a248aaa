using Ndif.Running;

namespace Ndif;

/// <summary>Where a trace runs. <c>remote: true</c> is <see cref="Remote"/>, <c>false</c> is <see cref="Local"/>.</summary>
public sealed record Backend
{
    private Backend(BackendKind kind, Uri? host = null, string? apiKey = null, string? caFile = null) =>
        (Kind, Host, ApiKey, CaFile) = (kind, host, apiKey, caFile);

    /// <summary>Runs in this process, which loads the weights.</summary>
    public static Backend Local { get; } = new(BackendKind.Local);

    /// <summary>Runs in this process from the serialized program, to test that an experiment can run remotely.</summary>
    public static Backend Loopback { get; } = new(BackendKind.Loopback);

    /// <summary>Runs on the configured service (NDIF_HOST, NDIF_API_KEY).</summary>
    public static Backend Remote { get; } = new(BackendKind.Remote);

    /// <summary>Runs on the service at an address.</summary>
    /// <param name="host">The address of its gateway, such as <c>https://ndif.example.org</c>.</param>
    /// <param name="apiKey">The key; null for the configured one.</param>
    /// <param name="caFile">
    /// The PEM file of the certificate authority of its TLS certificate, if this machine does not trust it; null for NDIF_CA_FILE.
    /// </param>
    /// <exception cref="ArgumentException">The host is not an address.</exception>
    public static Backend At(string host, string? apiKey = null, string? caFile = null) =>
        new(BackendKind.Remote, NdifConfig.ParseHost(host), apiKey, caFile);

    /// <summary>The runner for this backend of a model that exists only in this process; null for a remote backend.</summary>
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

    /// <summary>True is <see cref="Remote"/>, false is <see cref="Local"/>.</summary>
    public static implicit operator Backend(bool remote) => remote ? Remote : Local;

    /// <summary>The kind and the host, without the key.</summary>
    public override string ToString() => Host is null ? Kind.ToString() : $"{Kind} {Host}";
}

internal enum BackendKind { Local, Loopback, Remote }
