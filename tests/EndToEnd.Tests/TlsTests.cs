using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// The service with TLS and a private certificate authority: gRPC and HTTP use one port, and other certificates are rejected.
/// </summary>
public sealed class TlsTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task OverTls_WithOnesOwnAuthority_EverythingIsTheSame()
    {
        (ChildProcess gateway, int port, string authority) = await StartGatewayAsync("127.0.0.1");
        await using ChildProcess stopped = gateway;
        Backend there = Backend.At($"https://127.0.0.1:{port}", Cluster.Key, authority);
        foreach (string experiment in (string[])["states", "large:8", "constant:24"]) // events, downloads, uploads
        {
            Dictionary<string, string> here = await RunLocallyAsync(experiment);
            using RecordedExperiment recorded = Experiments.Record(experiment, there);
            Assert.Equal(here, (await recorded.RunAsync(Cancel)).ToDictionary(result => result.Key, result => result.Value.Checksum()));
        }
        await using ChildProcess status =
            ChildProcess.Start("ndif status", BuildOutput.Dotnet,
                [BuildOutput.Tool, "status", "--host", $"https://127.0.0.1:{port}", "--key", Cluster.Key], ("NDIF_CA_FILE", authority));
        Assert.True(await status.WaitForExitAsync() == 0, status.FormatOutput());
        using var handler = new HttpClientHandler
        {
            ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator,
        };
        using var http = new HttpClient(handler);
        // HTTP/1.1 on the same port
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri($"https://127.0.0.1:{port}/status"), Cancel)).StatusCode);
    }

    [Fact]
    public async Task AnAuthorityThatIsNotTrusted_AnotherName_OrNoTls_IsATypedError_AndTheKeyIsNotSent()
    {
        (ChildProcess gateway, int port, string authority) = await StartGatewayAsync("127.0.0.1");
        (ChildProcess misnamed, int otherPort, string other) = await StartGatewayAsync("192.0.2.1");
        await using ChildProcess stopped = gateway, alsoStopped = misnamed;
        foreach ((string host, string? trusted, string hint) in ((string, string?, string)[])[
            ($"https://127.0.0.1:{port}", null, "NDIF_CA_FILE"), ($"https://127.0.0.1:{port}", other, "NDIF_CA_FILE"),
            ($"https://127.0.0.1:{otherPort}", other, "NDIF_CA_FILE"),
            ($"http://127.0.0.1:{port}", authority, $"use https://127.0.0.1:{port}.")])
        {
            NdifException refused =
                await Assert.ThrowsAnyAsync<NdifException>(() => Status.GetAsync(Backend.At(host, Cluster.Key, trusted), Cancel));
            Assert.Equal(ErrorCode.Unavailable, refused.Code);
            Assert.Contains(hint, refused.Error.Hint, StringComparison.Ordinal);
        }
        Assert.DoesNotContain(gateway.Lines.Concat(misnamed.Lines), line => line.Contains("GetStatus", StringComparison.Ordinal));
        Assert.Throws<ArgumentException>(() =>
            { _ = Status.GetAsync(Backend.At($"https://127.0.0.1:{port}", "key", "/nowhere/ca.pem"), Cancel); });
    }

    /// <summary>Starts a gateway with a certificate for an address. Also returns the PEM file of the certificate authority.</summary>
    private async Task<(ChildProcess Gateway, int Port, string Authority)> StartGatewayAsync(string address)
    {
        string folder = Directory.CreateDirectory(Path.Combine(Cluster.DataFolder, $"tls-{Guid.NewGuid():n}")).FullName;
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=Authority of a test", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        using X509Certificate2 root = authority.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(2));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var leaf = new CertificateRequest("CN=ndif", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Parse(address));
        leaf.CertificateExtensions.Add(names.Build());
        using X509Certificate2 certificate =
            leaf.Create(root, DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1), RandomNumberGenerator.GetBytes(8));
        await File.WriteAllTextAsync(Path.Combine(folder, "ca.pem"), root.ExportCertificatePem(), Cancel);
        await File.WriteAllTextAsync(Path.Combine(folder, "cert.pem"), certificate.ExportCertificatePem(), Cancel);
        await File.WriteAllTextAsync(Path.Combine(folder, "key.pem"), key.ExportPkcs8PrivateKeyPem(), Cancel);

        ChildProcess gateway = Cluster.StartTool("serve", "--redis", Cluster.RedisAddress, "--data", Cluster.DataFolder, "--port", "0",
            "--certificate", Path.Combine(folder, "cert.pem"), "--certificate-key", Path.Combine(folder, "key.pem"));
        string[] words = (await gateway.WaitForLineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses"))
            .Split(' ');
        Assert.Equal(words[1], words[2]); // gRPC and HTTP have the same port
        return (gateway, new Uri(words[1]).Port, Path.Combine(folder, "ca.pem"));
    }
}
