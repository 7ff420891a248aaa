namespace Ndif.Queue;

/// <summary>A result of a check of what a service needs.</summary>
/// <param name="Check">The name of the check: "redis policy".</param>
/// <param name="Message">What was found.</param>
/// <param name="Advice">What to do; empty if there is nothing to do.</param>
public sealed record CheckResult(string Check, CheckLevel Level, string Message, string Advice = "");

/// <summary>How bad the result of a check is.</summary>
public enum CheckLevel
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>It works, but an operator should know.</summary>
    Warning,

    /// <summary>The service loses data or does not work.</summary>
    Error,
}
