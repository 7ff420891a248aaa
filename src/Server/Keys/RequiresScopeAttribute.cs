namespace Ndif.Server.Keys;

/// <summary>The scopes of which a key needs one to call what this stands on: a gRPC service, one of its methods (which counts before its service's), or an HTTP endpoint.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class RequiresScopeAttribute(params string[] scopes) : Attribute
{
    public IReadOnlyList<string> Scopes { get; } = scopes;
}

/// <summary>May be called without a key: it tells nothing about anyone.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class AllowWithoutKeyAttribute : Attribute;
