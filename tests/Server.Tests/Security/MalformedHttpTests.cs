using System.Net;
using System.Net.Sockets;
using System.Text;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Security;

/// <summary>Bodies of HTTP/1.1 that cannot be read are the fault of the client: no error of the gateway, and no stack in its log.</summary>
public sealed class MalformedHttpTests
{
    [Theory]
    [InlineData("POST /v1/completions", "FFFFFFFFFFFFFFFF\r\nabc")]
    [InlineData("POST /v1/completions", "xyz\r\nabc")]
    [InlineData("PUT /v1/blobs/0000000000000000000000000000000000000000000000000000000000000000", "FFFFFFFFFFFFFFFF\r\nabc")]
    [InlineData("PUT /v1/blobs/0000000000000000000000000000000000000000000000000000000000000000", "5\r\nabc")]
    public async Task ABodyThatIsNotChunked_IsABadRequest(string request, string body)
    {
        await using TestGateway gateway = await TestGateway.StartAsync();
        string key = (await gateway.CreateKeyAsync()).Key.Reveal();
        using var raw = new TcpClient();
        await raw.ConnectAsync(IPAddress.Loopback, gateway.Address.Http.Port, TestGateway.Cancel);
        NetworkStream stream = raw.GetStream();
        await stream.WriteAsync(
            Encoding.ASCII.GetBytes(
                $"{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
                + $"Transfer-Encoding: chunked\r\n\r\n{body}"), TestGateway.Cancel);
        raw.Client.Shutdown(SocketShutdown.Send);
        string answer = await new StreamReader(stream).ReadToEndAsync(TestGateway.Cancel);
        Assert.Matches("^(HTTP/1.1 4|$)", answer);
        Assert.DoesNotContain(gateway.Log.Events, line => line.Level >= Serilog.Events.LogEventLevel.Error);
    }
}
