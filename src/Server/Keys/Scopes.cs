namespace Ndif.Server.Keys;

/// <summary>The scopes of API keys.</summary>
public static class Scopes
{
    /// <summary>Run experiments, and read the own jobs.</summary>
    public const string Run = "run";

    /// <summary>
    /// Operate the service: deploy, evict, drain, and list and requeue dead letters. It does not include the management of keys.
    /// </summary>
    public const string Operator = "operator";

    /// <summary>Create and revoke keys, and operate the service.</summary>
    public const string Admin = "admin";

    public static IReadOnlyList<string> All { get; } = [Run, Operator, Admin];
}
