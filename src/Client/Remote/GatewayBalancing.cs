using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Net.Client.Balancer;
using Grpc.Net.Client.Configuration;

namespace Ndif.Remote;

/// <summary>
/// An address of several gateways, <c>dns:///name:port</c>: gRPC resolves the name to all its addresses (a headless service of Kubernetes)
/// and sends each call to the next one. With another address, all calls of a client go over one connection to one gateway.
/// </summary>
internal static class GatewayBalancing
{
    public const string Scheme = "dns";

    /// <summary>How often the name is resolved again. It is also resolved when a connection is lost.</summary>
    private static readonly TimeSpan _refreshInterval = TimeSpan.FromSeconds(30);

    public static bool IsBalanced(Uri host) => host.Scheme == Scheme;

    /// <summary>Returns the address by which HTTP reaches one of the gateways; null if it is not valid or has no port.</summary>
    public static Uri? ToHttp(Uri host, bool hasTls)
    {
        string authority = host.AbsolutePath.TrimStart('/');
        return host.Host.Length == 0 && authority.Contains(':', StringComparison.Ordinal)
            && Uri.TryCreate($"{(hasTls ? "https" : "http")}://{authority}", UriKind.Absolute, out Uri? http) && http.PathAndQuery == "/"
            ? http : null;
    }

    /// <summary>Makes a channel for <c>dns:///</c> use all gateways in turn.</summary>
    /// <param name="resolver">Finds the addresses of the gateways; null for DNS.</param>
    public static void Configure(GrpcChannelOptions options, bool hasTls, ResolverFactory? resolver = null)
    {
        options.Credentials = hasTls ? ChannelCredentials.SecureSsl : ChannelCredentials.Insecure;
        options.ServiceConfig = new ServiceConfig { LoadBalancingConfigs = { new RoundRobinConfig() } };
        options.ServiceProvider = new Resolvers(resolver ?? new DnsResolverFactory(_refreshInterval));
    }

    /// <summary>The one service that a channel asks for by its type: the factories of resolvers.</summary>
    private sealed class Resolvers(ResolverFactory resolver) : IServiceProvider
    {
        public object? GetService(Type serviceType) =>
            serviceType == typeof(IEnumerable<ResolverFactory>) ? new[] { resolver } : null;
    }
}
