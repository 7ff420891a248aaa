namespace Ndif.Server;

/// <summary>The scope a key needs to call what this stands on: a gRPC service, one of its methods, or an HTTP endpoint.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class RequiresAttribute(string scope) : Attribute
{
    public string Scope { get; } = scope;
}

/// <summary>May be called without a key: it tells nothing about anyone.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class OpenToAllAttribute : Attribute;
