using System.Globalization;
using System.IO.Pipes;
using System.Runtime.InteropServices;

namespace Ndif.Cli.Supervision;

/// <summary>The child of a <see cref="Supervisor"/>.</summary>
internal static partial class SupervisedProcess
{
    /// <summary>
    /// The exit code of a worker that ended because a native call did not: EX_TEMPFAIL of sysexits.h. It is to be started again.
    /// </summary>
    public const int UnresponsiveExitCode = 75;

    /// <summary>Reports over the pipe: the process serves; an operator drains it.</summary>
    public const byte Serving = 1, Draining = 2;

    private static readonly TimeSpan _flushTimeout = TimeSpan.FromSeconds(3);

    public static bool IsOne => Environment.GetEnvironmentVariable(Supervisor.Variable) is not null;

    private static readonly Lazy<Stream?> _reports = new(() =>
        Settings is [_, _, var pipe] ? new AnonymousPipeClientStream(PipeDirection.Out, pipe) : null);

    private static string[]? Settings => Environment.GetEnvironmentVariable(Supervisor.Variable)?.Split(',');

    /// <summary>How often the supervisor has started this command again, by reason.</summary>
    private static (long Unresponsive, long Failed) Restarts => Settings is [var unresponsive, var failed, _]
        && long.TryParse(unresponsive, CultureInfo.InvariantCulture, out long first)
        && long.TryParse(failed, CultureInfo.InvariantCulture, out long second) ? (first, second) : default;

    /// <summary>Returns a token that is also cancelled when the supervisor has gone, so that its child does not live on unseen.</summary>
    public static CancellationTokenSource StopWithSupervisor(CancellationToken stopping)
    {
        var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        if (!IsOne) return stop;
        (long unresponsive, long failed) = Restarts;
        Ndif.Worker.Telemetry.SetRestarts(unresponsive, failed);
        new Thread(() =>
        {
            using Stream input = Console.OpenStandardInput();
            while (input.ReadByte() >= 0) { }
            try
            {
                stop.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // stopped already
            }
        }) { IsBackground = true, Name = "supervisor" }.Start();
        return stop;
    }

    /// <summary>Tells the supervisor that this process serves: it is started again if it fails.</summary>
    public static void ReportServing() => Report(Serving);

    /// <summary>Tells the supervisor that an operator drains this process: it is not started again, however it ends.</summary>
    public static void ReportDrain() => Report(Draining);

    private static void Report(byte report)
    {
        try
        {
            _reports.Value?.WriteByte(report);
        }
        catch (IOException)
        {
            // there is no supervisor any more
        }
    }

    /// <summary>
    /// Ends the process without a word to its threads and libraries: one of them is in a call that does not end.
    /// </summary>
    /// <param name="outputs">What has buffered something: logs, metrics.</param>
    public static void EndUnresponsive(params IDisposable[] outputs)
    {
        try
        {
            Task.Run(() => Array.ForEach(outputs, output => output.Dispose())).Wait(_flushTimeout);
        }
        finally
        {
            EndAtOnce(UnresponsiveExitCode);
        }
    }

    /// <summary>
    /// Ends the process while its threads run. The usual end calls the destructors of libtorch, and what still computes fails without its
    /// operators: a job of a worker would end with that error. Not on Windows, which has no such function.
    /// </summary>
    [LibraryImport("libc", EntryPoint = "_exit")]
    public static partial void EndAtOnce(int code);
}
