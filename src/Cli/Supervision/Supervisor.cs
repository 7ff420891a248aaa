using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.IO.Pipes;
using System.Reflection;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Ndif.Server.Hosting;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Supervision;

/// <summary>
/// Runs a command as a child process and starts it again when it fails (docs/decisions/0015-a-worker-can-be-killed.md).
/// 1. The child inherits the arguments, the environment and the output. Its standard input is a pipe that only this process holds open: its
///    end tells the child that it has no supervisor any more, and stops it (<see cref="SupervisedProcess"/>).
/// 2. A signal to stop is passed on. The child then has as long as it needs, and its exit code is that of this process.
/// 3. A child that ends by itself with 0 was drained. One that an operator drains says so over another pipe, and is not started again
///    either if it fails before its last job has ended. A child says over this pipe too that it serves. If it ends with another code and
///    none has served yet, it has a wrong option, most likely: its code is that of this process.
/// 4. Otherwise it is started again, after a delay that doubles up to <see cref="_maxDelay"/> and is reset by a run of
///    <see cref="_steadyRunTime"/>.
/// </summary>
internal sealed partial class Supervisor(ILogger logger)
{
    /// <summary>Set in the environment of the child: the number of restarts, by reason, and the pipe for its reports.</summary>
    public const string Variable = "NDIF_SUPERVISED";

    private static readonly TimeSpan _minDelay = TimeSpan.FromSeconds(0.5), _maxDelay = TimeSpan.FromSeconds(30),
        _steadyRunTime = TimeSpan.FromMinutes(2), _pipeTimeout = TimeSpan.FromSeconds(1);

    private const int SignalTerminate = 15, FirstSignalCode = 128;

    private int _unresponsive, _failed;

    /// <summary>
    /// Runs the command of this process in a child. Returns null in that child, and if the command should run in this process.
    /// </summary>
    public static async Task<int?> RunAsync(Option<bool> noRestart, Option<bool> logJson, ParseResult parsed, CancellationToken stopping)
    {
        if (parsed.GetValue(noRestart) || SupervisedProcess.IsOne) return null;
        using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
        using var logs = new SerilogLoggerFactory(log);
        return await new Supervisor(logs.CreateLogger<Supervisor>()).RunAsync(stopping);
    }

    private async Task<int> RunAsync(CancellationToken stopping)
    {
        bool hasServed = false;
        for (TimeSpan delay = _minDelay; ; delay = delay * 2 < _maxDelay ? delay * 2 : _maxDelay)
        {
            long started = Stopwatch.GetTimestamp();
            (int code, HashSet<byte> reports) = await RunChildAsync(stopping);
            TimeSpan ran = Stopwatch.GetElapsedTime(started);
            hasServed |= reports.Contains(SupervisedProcess.Serving);
            bool isUnresponsive = code == SupervisedProcess.UnresponsiveExitCode;
            if (code == 0 || stopping.IsCancellationRequested) return code; // 2, 3
            if (reports.Contains(SupervisedProcess.Draining))
            {
                LogDrained(Describe(code), ran.TotalSeconds);
                return 0;
            }
            if (!isUnresponsive && code < FirstSignalCode && !hasServed) return code; // 3
            if (ran >= _steadyRunTime) delay = _minDelay;
            if (isUnresponsive) _unresponsive++;
            else _failed++;
            LogRestart(Describe(code), ran.TotalSeconds, delay.TotalSeconds);
            await Task.Delay(delay, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stopping.IsCancellationRequested) return 0;
        }
    }

    private async Task<(int Code, HashSet<byte> Reports)> RunChildAsync(CancellationToken stopping)
    {
        await using var reports = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.Inheritable);
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardInput = true }; // 1
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
            start.ArgumentList.Add(Assembly.GetEntryAssembly()!.Location);
        foreach (string argument in Environment.GetCommandLineArgs().Skip(1)) start.ArgumentList.Add(argument);
        start.Environment[Variable] =
            string.Create(CultureInfo.InvariantCulture, $"{_unresponsive},{_failed},{reports.GetClientHandleAsString()}");
        using Process child = Process.Start(start)!;
        reports.DisposeLocalCopyOfClientHandle();
        using CancellationTokenRegistration stop = stopping.Register(() => _ = Signal(child.Id, SignalTerminate)); // 2
        await child.WaitForExitAsync(CancellationToken.None);
        return (child.ExitCode, await ReadReportsAsync(reports));
    }

    /// <summary>The bytes that the process at the other end, which has ended, has written. The end may be open in a child of it.</summary>
    private static async Task<HashSet<byte>> ReadReportsAsync(Stream pipe)
    {
        HashSet<byte> reports = [];
        byte[] report = new byte[1];
        while (true)
        {
            Task<int> reading = pipe.ReadAsync(report).AsTask();
            if (await Task.WhenAny(reading, Task.Delay(_pipeTimeout)) != reading || await reading == 0) return reports;
            reports.Add(report[0]);
        }
    }

    [LoggerMessage(4001, LogLevel.Error, "Ended after {Seconds:0.0} s: {Reason}. It is started again in {Delay} s")]
    private partial void LogRestart(string reason, double seconds, double delay);

    [LoggerMessage(4002, LogLevel.Error, "Ended after {Seconds:0.0} s, before it was drained: {Reason}. It is not started again")]
    private partial void LogDrained(string reason, double seconds);

    private static string Describe(int code) => code switch
    {
        SupervisedProcess.UnresponsiveExitCode => "a native call did not end",
        > FirstSignalCode => $"signal {code - FirstSignalCode}",
        _ => $"exit code {code}",
    };

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
