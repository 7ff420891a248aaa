namespace Ndif.Server.Keys;

/// <summary>
/// The scopes of which a key needs one to call an endpoint: a gRPC service, a method of it (which overrides the attribute of the service),
/// or an HTTP endpoint.
/// </summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class RequiresScopeAttribute(params string[] scopes) : Attribute
{
    public IReadOnlyList<string> Scopes { get; } = scopes;
}
