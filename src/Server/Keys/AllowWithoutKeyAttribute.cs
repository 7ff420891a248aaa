namespace Ndif.Server.Keys;

/// <summary>Marks an endpoint that requires no key. It must not reveal anything about jobs or owners.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class AllowWithoutKeyAttribute : Attribute
{
    /// <summary>
    /// True for what orchestrators call: they restart a gateway that refuses it. All other requests without a key have a limit
    /// (<see cref="Hosting.KeylessRequestLimiter"/>).
    /// </summary>
    public bool IsProbe { get; init; }
}
