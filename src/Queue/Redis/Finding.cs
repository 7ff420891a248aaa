namespace Ndif.Queue.Redis;

/// <summary>How bad a finding is: fine, not recommended, or the service will lose data or not work.</summary>
public enum FindingLevel
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>It works, but an operator should know.</summary>
    Warning,

    /// <summary>The service loses data or does not work.</summary>
    Error,
}

/// <summary>What a check found.</summary>
/// <param name="Check">The name of the check: "redis policy".</param>
/// <param name="Advice">What to do; empty if there is nothing to do.</param>
public sealed record Finding(string Check, FindingLevel Level, string Message, string Advice = "");
