using Grpc.Core;
using Grpc.Net.Client.Balancer;
using Ndif.Protocol;
using Ndif.Remote;

namespace Ndif.Deploy.Tests;

/// <summary>Clients that use `dns:///name:port` send their calls to all gateways.</summary>
public sealed class BalancingTests(DeployedService service) : IClassFixture<DeployedService>
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private Metadata Key => new() { { "authorization", $"Bearer {service.Key}" } };

    [Fact]
    public async Task Calls_GoToTheGatewaysInTurn_AndToTheRestWhenOneIsLost()
    {
        GatewayProcess other = await service.StartGatewayProcessAsync();
        var resolver = new FixedResolverFactory(
            new BalancerAddress("127.0.0.1", service.Gateway.Grpc.Port), new BalancerAddress("127.0.0.1", other.Grpc.Port));
        var channel = new RemoteChannel(new Uri("dns:///gateways:5080"), caFile: null, resolver);
        await Poll.UntilAsync(() => CountGatewaysAsync(channel), count => count == 2); // both are connected
        Assert.Equal(2, await CountGatewaysAsync(channel));

        await other.Process.TerminateAsync();
        await Poll.UntilAsync(() => CountGatewaysAsync(channel), count => count == 1);
        for (int call = 0; call < 10; call++)
            await channel.Inference.GetStatusAsync(new GetStatusRequest(), Key, cancellationToken: Cancel);
    }

    /// <summary>The name is resolved by DNS, and constants and large results find their way too.</summary>
    [Fact]
    public async Task ADnsAddress_IsAnAddressOfTheClient()
    {
        Backend backend = Backend.At($"dns:///localhost:{service.Gateway.Grpc.Port}", service.Key);
        Assert.NotEmpty((await Status.GetAsync(backend, Cancel)).Version);
        Assert.Equal(
            $"http://localhost:{service.Gateway.Grpc.Port}/",
            new RemoteChannel(new Uri($"dns:///localhost:{service.Gateway.Grpc.Port}"), null).Host.ToString());
    }

    [Theory]
    [InlineData("dns:///gateways")]
    [InlineData("dns://server/gateways:5080")]
    [InlineData("dns:///gateways:5080/path")]
    public void ADnsAddress_HasANameAndAPort(string host) =>
        Assert.Contains("dns:///gateways:5080", Assert.Throws<ArgumentException>(() => Backend.At(host)).Message, StringComparison.Ordinal);

    /// <summary>The number of gateways that answer ten calls. They are told apart by when they were started.</summary>
    private async Task<int> CountGatewaysAsync(RemoteChannel channel)
    {
        HashSet<long> started = [];
        for (int call = 0; call < 10; call++)
        {
            ServiceStatus status = await channel.Inference.GetStatusAsync(
                new GetStatusRequest(), new CallOptions(Key, cancellationToken: Cancel).WithWaitForReady());
            started.Add(status.Started.ToDateTimeOffset().UtcTicks);
        }
        return started.Count;
    }

    /// <summary>A name with these addresses.</summary>
    private sealed class FixedResolverFactory(params BalancerAddress[] addresses) : ResolverFactory
    {
        public override string Name => "dns";

        public override Resolver Create(ResolverOptions options) => new StaticResolverFactory(_ => addresses).Create(options);
    }
}
