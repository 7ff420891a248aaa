using System.Diagnostics;

namespace Ndif;

/// <summary>
/// The telemetry of this process's experiments. An application that listens to the source of this name sees each remote run as one
/// distributed trace, from the client to the worker's phases. The W3C headers that .NET sends with every call connect them.
/// </summary>
public static class Telemetry
{
    /// <summary>The name of the activity source.</summary>
    public const string Name = "Ndif.Client";

    internal static ActivitySource Source { get; } = new(Name);
}
