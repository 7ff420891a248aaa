using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Protocol;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Hosting;

/// <summary>
/// Real chains (root, intermediate, leaf) and clients that trust only the root: the gateway sends the intermediate certificates, and reads
/// its files again when they change.
/// </summary>
public sealed class CertificateTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-certificates-").FullName;
    private readonly TestAuthority _authority = new();

    public static TheoryData<string> Forms => ["fullchain", "fullchain with the leaf last", "one file", "pfx", "encrypted key"];

    [Theory]
    [MemberData(nameof(Forms))]
    public async Task ClientThatTrustsOnlyTheRoot_Connects(string form)
    {
        GatewayOptions options = Write(form, _authority.CreateLeaf("one"));
        await using TestGateway gateway = await TestGateway.StartAsync(options);
        using HttpClient http = CreateClient();
        string status = await http.GetStringAsync(new Uri(GetUri(gateway), "/status"), TestGateway.Cancel);
        Assert.Contains("version", status, StringComparison.Ordinal);
        Assert.Equal(["leaf one", "intermediate"], await GetSentChainAsync(gateway));

        // gRPC over HTTP/2 on the same port
        using var channel = GrpcChannel.ForAddress(GetUri(gateway), new GrpcChannelOptions { HttpHandler = CreateHandler() });
        RpcException refusal = await Assert.ThrowsAsync<RpcException>(() => new Inference.InferenceClient(channel)
            .GetStatusAsync(new GetStatusRequest(), cancellationToken: TestGateway.Cancel).ResponseAsync);
        Assert.Equal(StatusCode.Unauthenticated, refusal.StatusCode);
    }

    [Fact]
    public async Task ChangedFiles_AreReadAgain_AndUnusableOnesAreReported()
    {
        GatewayOptions options = Write("fullchain", _authority.CreateLeaf("one"));
        await using TestGateway gateway = await TestGateway.StartAsync(options);
        Assert.Equal("leaf one", (await GetSentChainAsync(gateway))[0]);

        Write("fullchain", _authority.CreateLeaf("two"));
        await WaitForLogAsync(gateway, 3004);
        Assert.Equal("leaf two", (await GetSentChainAsync(gateway))[0]);

        await File.WriteAllTextAsync(options.CertificateFile!, "not a certificate", TestGateway.Cancel);
        await WaitForLogAsync(gateway, 3005);
        Assert.Equal("leaf two", (await GetSentChainAsync(gateway))[0]); // the old one stays

        Write("fullchain", _authority.CreateLeaf("three"));
        await WaitForLogAsync(gateway, 3004, count: 2);
        Assert.Equal("leaf three", (await GetSentChainAsync(gateway))[0]);
        File.Delete(options.CertificateFile!);
        await WaitForLogAsync(gateway, 3005, count: 2);
        Assert.Equal("leaf three", (await GetSentChainAsync(gateway))[0]);
    }

    [Fact]
    public async Task AnExpiredCertificate_DoesNotReplaceAValidOne_AndIsReportedAtTheStart()
    {
        GatewayOptions options = Write("fullchain", _authority.CreateLeaf("expired", days: 0.5));
        await using TestGateway gateway = await TestGateway.StartAsync(options);
        await WaitForLogAsync(gateway, 3006);
        Write("fullchain", _authority.CreateLeaf("one"));
        await WaitForLogAsync(gateway, 3004);
        Write("fullchain", _authority.CreateLeaf("expired too", days: 0.5));
        await WaitForLogAsync(gateway, 3005);
        Assert.Equal("leaf one", (await GetSentChainAsync(gateway))[0]);
    }

    /// <summary>A certificate that is renewed ahead of time, or by a machine whose clock is ahead.</summary>
    [Fact]
    public async Task ACertificateThatIsNotValidYet_IsReportedOnce_AndTakenWhenItIs()
    {
        GatewayOptions options = Write("fullchain", _authority.CreateLeaf("one"));
        await using TestGateway gateway = await TestGateway.StartAsync(options);
        Write("fullchain", _authority.CreateLeaf("early", from: DateTimeOffset.UtcNow.AddSeconds(4)));
        const string Refused = "which is not now"; // the files are not written at once, so that they do not fit for a moment
        await gateway.Log.WaitForAsync(Refused);
        Assert.Equal("leaf one", (await GetSentChainAsync(gateway))[0]);
        await WaitForLogAsync(gateway, 3004);
        Assert.Equal("leaf early", (await GetSentChainAsync(gateway))[0]);
        Assert.Single(gateway.Log.Events, line => LogCapture.GetText(line).Contains(Refused, StringComparison.Ordinal));
    }

    [Fact]
    public void UnusableFiles_KeepTheGatewayFromStarting_WithTheReason()
    {
        GatewayOptions options = Write("fullchain", _authority.CreateLeaf("one"));
        using (ECDsa other = ECDsa.Create()) File.WriteAllText(options.CertificateKeyFile!, other.ExportECPrivateKeyPem());
        Assert.Contains("belongs to none of its 2 certificates",
            Assert.Throws<OptionsException>(() => new ServerCertificate(options)).Message, StringComparison.Ordinal);
        File.WriteAllText(options.CertificateFile!, "");
        Assert.Contains("no certificate in PEM",
            Assert.Throws<OptionsException>(() => new ServerCertificate(options)).Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _authority.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private GatewayOptions Write(string form, X509Certificate2 leaf)
    {
        string certificate = Path.Combine(_folder, form == "pfx" ? "tls.pfx" : "tls.crt"), key = Path.Combine(_folder, "tls.key");
        string leafPem = leaf.ExportCertificatePem(), intermediate = _authority.Intermediate.ExportCertificatePem();
        using ECDsa privateKey = leaf.GetECDsaPrivateKey()!;
        string keyPem = privateKey.ExportPkcs8PrivateKeyPem();
        switch (form)
        {
            case "pfx":
                File.WriteAllBytes(certificate, new X509Certificate2Collection { _authority.Intermediate,
                    leaf }.Export(X509ContentType.Pfx, "secret")!);
                return CreateOptions(certificate, null, "secret");
            case "one file":
                File.WriteAllText(certificate, $"{leafPem}\n{intermediate}\n{keyPem}\n");
                return CreateOptions(certificate, null, null);
            case "encrypted key":
                File.WriteAllText(certificate, $"{leafPem}\n{intermediate}\n");
                File.WriteAllText(key, privateKey.ExportEncryptedPkcs8PrivateKeyPem(
                    "secret", new PbeParameters(PbeEncryptionAlgorithm.Aes128Cbc, HashAlgorithmName.SHA256, 1000)));
                return CreateOptions(certificate, key, "secret");
            default:
                File.WriteAllText(key, keyPem);
                File.WriteAllText(certificate, form == "fullchain" ? $"{leafPem}\n{intermediate}\n" : $"{intermediate}\n{leafPem}\n");
                return CreateOptions(certificate, key, null);
        }
    }

    private static GatewayOptions CreateOptions(string certificate, string? key, string? password) => new()
    {
        GrpcPort = 0, HttpPort = 0, CertificateFile = certificate, CertificateKeyFile = key, CertificatePassword = password,
        CertificateReloadInterval = TimeSpan.FromMilliseconds(20),
    };

    private static Uri GetUri(TestGateway gateway) => new($"https://localhost:{gateway.Address.Grpc.Port}");

    private HttpClient CreateClient() => new(CreateHandler());

    private SocketsHttpHandler CreateHandler() => new()
    {
        SslOptions = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust, CustomTrustStore = { _authority.Root },
                RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true,
            },
        },
    };

    /// <summary>Returns the names of the certificates that the gateway sends.</summary>
    private static async Task<string[]> GetSentChainAsync(TestGateway gateway)
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, gateway.Address.Grpc.Port, TestGateway.Cancel);
        string[] names = [];
        await using var tls = new SslStream(tcp.GetStream(), false, (_, certificate, chain, _) =>
        {
            names = [((X509Certificate2)certificate!).GetNameInfo(X509NameType.SimpleName, false),
                .. chain!.ChainPolicy.ExtraStore.Where(sent => !sent.Equals(certificate)).Select(sent =>
                    sent.GetNameInfo(X509NameType.SimpleName, false))];
            return true;
        });
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost" }, TestGateway.Cancel);
        return names;
    }

    private static async Task WaitForLogAsync(TestGateway gateway, int id, int count = 1)
    {
        while (gateway.Log.Events.Count(line => LogCapture.GetEventId(line) == id) < count)
        {
            gateway.Time.Advance(TimeSpan.FromMilliseconds(25));
            await Task.Delay(10, TestGateway.Cancel);
        }
    }
}

/// <summary>A root, an intermediate certificate of it, and leaves for localhost.</summary>
internal sealed class TestAuthority : IDisposable
{
    private static readonly DateTimeOffset _from = DateTimeOffset.UtcNow.AddDays(-1);
    private readonly ECDsa _rootKey = ECDsa.Create(ECCurve.NamedCurves.nistP256),
        _intermediateKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _signer;
    private int _serial;

    public TestAuthority()
    {
        Root = CreateRequest("root", _rootKey, isAuthority: true).CreateSelfSigned(_from, _from.AddDays(100));
        using X509Certificate2 signed = CreateRequest("intermediate", _intermediateKey, isAuthority: true)
            .Create(Root, _from, _from.AddDays(50), NextSerial());
        Intermediate = X509CertificateLoader.LoadCertificate(signed.Export(X509ContentType.Cert));
        _signer = signed.CopyWithPrivateKey(_intermediateKey);
    }

    public X509Certificate2 Root { get; }

    public X509Certificate2 Intermediate { get; }

    /// <param name="days">For how many days it is valid.</param>
    /// <param name="from">When it becomes valid; null for yesterday.</param>
    public X509Certificate2 CreateLeaf(string name, double days = 10, DateTimeOffset? from = null)
    {
        DateTimeOffset begin = from ?? _from;
        using ECDsa key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        CertificateRequest request = CreateRequest($"leaf {name}", key, isAuthority: false);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using X509Certificate2 signed = request.Create(_signer, begin, begin.AddDays(days), NextSerial());
        using X509Certificate2 withKey = signed.CopyWithPrivateKey(key);
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pfx), null, X509KeyStorageFlags.Exportable);
    }

    public void Dispose()
    {
        foreach (IDisposable item in (IDisposable[])[Root, Intermediate, _signer, _rootKey, _intermediateKey]) item.Dispose();
    }

    private byte[] NextSerial() => BitConverter.GetBytes(++_serial);

    private static CertificateRequest CreateRequest(string name, ECDsa key, bool isAuthority)
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(isAuthority, false, 0, true));
        return request;
    }
}
