namespace Ndif.Server.Keys;

/// <summary>What a key may do.</summary>
public static class Scopes
{
    /// <summary>Run experiments and look at one's own jobs.</summary>
    public const string Run = "run";

    /// <summary>Operate the service: deploy, evict and drain, look at dead letters and requeue them. No keys.</summary>
    public const string Operator = "operator";

    /// <summary>Make and revoke keys, and operate the service.</summary>
    public const string Admin = "admin";

    public static IReadOnlyList<string> All { get; } = [Run, Operator, Admin];
}
