using System.Diagnostics;

namespace Ndif;

/// <summary>
/// What this process's experiments can be watched by: an application that listens to the source by its name sees each remote run as one
/// trace, from here to the worker's phases. The service is told of it by the W3C headers that .NET sends with every call.
/// </summary>
public static class Telemetry
{
    public const string Name = "Ndif.Client";

    internal static ActivitySource Source { get; } = new(Name);
}
