namespace Ndif.Server.Scaling;

/// <summary>Marks the endpoints that are served on <see cref="GatewayOptions.ScalerPort"/> only.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class ScalerEndpointAttribute : Attribute;
