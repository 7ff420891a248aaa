namespace Ndif.Server.Keys;

/// <summary>Marks an endpoint that requires no key. It must not reveal anything about jobs or owners.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class AllowWithoutKeyAttribute : Attribute;
