using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Hosting;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>
/// Connections that never begin their TLS handshake cost whoever opens them nothing. They displaced connections that had done theirs.
/// </summary>
public sealed class HandshakeLimitTests : IAsyncLifetime
{
    private const int Places = 64; // of the smallest memory

    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-handshakes-").FullName;
    private readonly TestAuthority _authority = new();
    private WebApplication _server = null!;
    private int _port;

    public async ValueTask InitializeAsync()
    {
        X509Certificate2 leaf = _authority.CreateLeaf("one");
        using ECDsa key = leaf.GetECDsaPrivateKey()!;
        string file = Path.Combine(_folder, "tls.pem");
        await File.WriteAllTextAsync(file, $"{leaf.ExportCertificatePem()}\n{key.ExportPkcs8PrivateKeyPem()}\n");
        var options = new GatewayOptions { GrpcPort = 0, HttpPort = 0, CertificateFile = file };
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => KestrelSetup.Configure(
            kestrel, options, new ServerCertificate(options), new ConnectionLimiter(availableMemory: 1 << 20)));
        _server = builder.Build();
        _server.Run(context => context.Response.WriteAsync("served"));
        await _server.StartAsync(TestGateway.Cancel);
        _port = new Uri(_server.Urls.Single()).Port;
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _authority.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task SilentConnections_DisplaceEachOther_AndNotThoseWithTls()
    {
        await using SslStream idle = await ConnectAsync();
        List<TcpClient> silent = [];
        for (int i = 0; i < 2 * Places; i++)
        {
            var client = new TcpClient();
            await client.ConnectAsync(IPAddress.Loopback, _port, TestGateway.Cancel);
            silent.Add(client);
        }
        const int Displaced = 2 * Places - Places / 4;
        await Task.WhenAll(silent.Take(Displaced).Select(WaitForEndAsync)).WaitAsync(TimeSpan.FromSeconds(5), TestGateway.Cancel);
        Assert.DoesNotContain(silent.Skip(Displaced), client => client.Client.Poll(0, SelectMode.SelectRead));

        await using SslStream next = await ConnectAsync();
        foreach (SslStream tls in (SslStream[])[idle, next]) Assert.Contains("served", await GetAsync(tls), StringComparison.Ordinal);
        foreach (TcpClient client in silent) client.Dispose();
    }

    [Fact]
    public async Task AConnectionThatIsSilent_EndsAfterTheTimeOfAHandshake()
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, _port, TestGateway.Cancel);
        await WaitForEndAsync(client).WaitAsync(TimeSpan.FromSeconds(20), TestGateway.Cancel);
    }

    private static async Task WaitForEndAsync(TcpClient client)
    {
        try
        {
            Assert.Equal(0, await client.GetStream().ReadAsync(new byte[1], TestGateway.Cancel));
        }
        catch (IOException)
        {
            // the server has reset it
        }
    }

    private async Task<SslStream> ConnectAsync()
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, _port, TestGateway.Cancel);
        var tls = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, (_, certificate, _, _) => certificate is not null);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost", ApplicationProtocols = [SslApplicationProtocol.Http11],
        }, TestGateway.Cancel);
        return tls;
    }

    private static async Task<string> GetAsync(SslStream tls)
    {
        await tls.WriteAsync("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray(), TestGateway.Cancel);
        using var reader = new StreamReader(tls);
        return await reader.ReadToEndAsync(TestGateway.Cancel);
    }
}
