using System.Globalization;

namespace Ndif.Benchmarks.Fixtures;

/// <summary>A process's resident memory, as the operating system counts it.</summary>
internal static class ResidentMemory
{
    /// <summary>VmRSS in bytes.</summary>
    public static double Current(ChildProcess process) => Status(process, "VmRSS");

    /// <summary>VmHWM in bytes: the maximum since <see cref="ResetPeak"/>.</summary>
    public static double Peak(ChildProcess process) => Status(process, "VmHWM");

    /// <summary>Restarts the measurement of the peak (proc(5), clear_refs).</summary>
    public static void ResetPeak(ChildProcess process) => File.WriteAllText($"/proc/{process.Id}/clear_refs", "5");

    private static double Status(ChildProcess process, string field)
    {
        string line = File.ReadLines($"/proc/{process.Id}/status").First(l => l.StartsWith(field + ":", StringComparison.Ordinal));
        return 1024 * double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
