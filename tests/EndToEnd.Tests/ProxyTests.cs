using System.Net;
using System.Net.Sockets;

namespace Ndif.EndToEnd.Tests;

/// <summary>Clients of a service on this machine, with the variables of a proxy in their environment.</summary>
public sealed class ProxyTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Theory]
    [InlineData("http_proxy")]
    [InlineData("all_proxy")]
    public async Task ServiceOnThisMachine_IsReachedWithoutTheProxy(string variable)
    {
        using TcpListener proxy = Listen();
        await using ChildProcess status = StartStatus(Cluster.Grpc.ToString(), (variable, $"http://{proxy.LocalEndpoint}"));
        Assert.True(await status.WaitForExitAsync() == 0, status.FormatOutput());
        Assert.False(proxy.Pending());
    }

    [Fact]
    public async Task AnotherHost_IsAskedThroughTheProxy_AndTheErrorNamesIt()
    {
        using TcpListener proxy = Listen();
        await using ChildProcess status =
            StartStatus("http://ndif.example:5080", ("http_proxy", $"http://me:secret@{proxy.LocalEndpoint}"));
        Assert.NotEqual(0, await status.WaitForExitAsync());
        Assert.Contains($"through the proxy http://{proxy.LocalEndpoint} that `http_proxy` names", status.Errors, StringComparison.Ordinal);
        Assert.Contains("add `ndif.example` to `no_proxy`", status.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", status.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task HostOfNoProxy_IsNotAskedThroughTheProxy()
    {
        using TcpListener proxy = Listen();
        await using ChildProcess status = StartStatus("http://ndif.invalid:5080", ("http_proxy", $"http://{proxy.LocalEndpoint}"),
            ("no_proxy", "other,invalid"));
        Assert.NotEqual(0, await status.WaitForExitAsync());
        Assert.DoesNotContain("proxy", status.Errors, StringComparison.Ordinal);
        Assert.False(proxy.Pending());
    }

    private static TcpListener Listen()
    {
        TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return listener;
    }

    private ChildProcess StartStatus(string host, params (string Name, string Value)[] environment) => ChildProcess.Start("ndif status",
        BuildOutput.Dotnet, [BuildOutput.Tool, "status", "--host", host, "--key", Cluster.Key], environment);
}
