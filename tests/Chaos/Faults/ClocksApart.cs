using System.Globalization;

namespace Ndif.Chaos.Faults;

/// <summary>
/// A gateway or a worker starts again on a machine whose clock is wrong by minutes to days (libfaketime). Its monotonic clock and the times
/// of files are right, as on such a machine.
/// </summary>
/// <remarks>
/// Under libfaketime, waits with a timeout end at once in .NET. When such a process is told to stop, it therefore does not wait for its
/// jobs, and ends with the code of a forced stop. Some processes end with a segmentation fault in libfaketime before they are ready.
/// </remarks>
internal sealed class ClocksApart(ChaosCluster cluster, Random random)
{
    private const int MaxAttempts = 5;

    private static readonly string? _library = new[]
    {
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    }.FirstOrDefault(File.Exists);

    /// <summary>Whether libfaketime is installed (Debian's package faketime).</summary>
    public static bool IsPossible => _library is not null;

    public async Task InjectAsync()
    {
        double seconds = (random.Next(2) == 0 ? -1 : 1) * Math.Pow(10, 2 + 3.3 * random.NextDouble()); // two minutes to two days
        using IDisposable clock = cluster.Services.SetEnvironment(
            ("LD_PRELOAD", _library!), ("FAKETIME", seconds.ToString("+0;-0", CultureInfo.InvariantCulture)),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1"));
        bool isGateway = random.Next(2) == 0;
        int index = random.Next(isGateway ? ChaosCluster.Gateways : ChaosCluster.Workers);
        await Find().TerminateAsync();
        await StartAsync();
        cluster.ProcessesWithWrongClock.Add(Find());
        await Task.Delay(TimeSpan.FromSeconds(2));

        async Task StartAsync()
        {
            for (int attempt = 1; ; attempt++)
            {
                try
                {
                    await cluster.RestartDeadProcessesAsync();
                    return;
                }
                catch (InvalidOperationException) when (attempt < MaxAttempts)
                {
                    // it ended before it was ready
                }
            }
        }

        ChildProcess Find() => isGateway ? cluster.Gateway(index) : cluster.Worker(index).Process;
    }
}
