namespace Ndif.Server.Keys;

/// <summary>Who makes a call, as far as the gateway cares.</summary>
/// <param name="Id">The key's id: the owner of jobs and grants.</param>
public sealed record Caller(string Id, string Name, IReadOnlyList<string> Scopes, string Tier, IReadOnlyList<string> Models)
{
    /// <summary>
    /// Everyone on this machine, where <see cref="GatewayOptions.AllowAnonymous"/> is on. May run, but not administer: a web page in
    /// the user's browser can reach loopback too.
    /// </summary>
    public static Caller Anonymous { get; } = new("anonymous", "anonymous", [Ndif.Server.Keys.Scopes.Run], "standard", []);

    public bool HasScope(string scope) => Scopes.Contains(scope, StringComparer.Ordinal);

    public bool CanUseModel(string model) => Models.Count == 0 || Models.Contains(model, StringComparer.Ordinal);
}
