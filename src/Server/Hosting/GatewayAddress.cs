namespace Ndif.Server.Hosting;

/// <summary>The addresses of a started gateway. With TLS both are the same.</summary>
public sealed record GatewayAddress(Uri Grpc, Uri Http);
