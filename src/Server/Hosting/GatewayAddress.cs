namespace Ndif.Server.Hosting;

/// <summary>Where a started gateway is reached. With TLS both are the same.</summary>
public sealed record GatewayAddress(Uri Grpc, Uri Http);
