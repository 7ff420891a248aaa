namespace Ndif.Server.Keys;

/// <summary>The authenticated caller of a request.</summary>
/// <param name="Id">The id of the key. It is the owner of jobs and blobs.</param>
public sealed record Caller(string Id, string Name, IReadOnlyList<string> Scopes, string Tier, IReadOnlyList<string> Models)
{
    /// <summary>
    /// The caller of requests without a key, if <see cref="GatewayOptions.AllowAnonymous"/> is set. It has no administrative scope, because
    /// a web page in a browser on the same machine can reach loopback addresses too.
    /// </summary>
    public static Caller Anonymous { get; } = new("anonymous", "anonymous", [Ndif.Server.Keys.Scopes.Run], "standard", []);

    public bool HasScope(string scope) => Scopes.Contains(scope, StringComparer.Ordinal);

    public bool CanUseModel(string model) => Models.Count == 0 || Models.Contains(model, StringComparer.Ordinal);
}
