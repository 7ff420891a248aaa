using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Ndif.Tests.Support;

/// <summary>
/// A process that a test starts. Its output can be waited for. It is killed when it is disposed, and at the latest when the tests end.
/// </summary>
public sealed partial class ChildProcess : IAsyncDisposable
{
    private const int SigTerm = 15, SigContinue = 18, SigStop = 19; // on Linux

    /// <summary>The upper bound of every wait. It is generous, so that a busy machine fails no test.</summary>
    public static readonly TimeSpan WaitTimeout = TimeSpan.FromMinutes(3);

    private static readonly ConcurrentDictionary<ChildProcess, bool> _running = new();

    private readonly Process _process;
    private readonly List<string> _lines = [], _errors = [];
    private TaskCompletionSource _outputReceived = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _outputEnded;

    static ChildProcess() => AppDomain.CurrentDomain.ProcessExit += (_, _) =>
    {
        foreach (ChildProcess child in _running.Keys) child.Kill();
    };

    private ChildProcess(string name, Process process) => (Name, _process) = (name, process);

    public string Name { get; }

    public bool IsAlive => !_process.HasExited;

    /// <summary>The exit code; null while the process runs.</summary>
    public int? ExitCode => _process.HasExited ? _process.ExitCode : null;

    /// <summary>The lines that the process has written to standard output so far.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines) return [.. _lines];
        }
    }

    /// <summary>The text that the process has written to standard error so far.</summary>
    public string Errors
    {
        get
        {
            lock (_lines) return string.Join('\n', _errors);
        }
    }

    /// <summary>Starts a program, without the NDIF_ variables of the tests' environment.</summary>
    public static ChildProcess Start(string name, string program, IEnumerable<string> arguments,
        params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (string known in start.Environment.Keys.Where(key => key.StartsWith("NDIF_", StringComparison.Ordinal)).ToArray())
            start.Environment.Remove(known);
        foreach ((string key, string value) in environment) start.Environment[key] = value;
        var child = new ChildProcess(name, new Process { StartInfo = start });
        child._process.OutputDataReceived += (_, line) => child.OnLine(child._lines, line.Data, isStandardOutput: true);
        child._process.ErrorDataReceived += (_, line) => child.OnLine(child._errors, line.Data, isStandardOutput: false);
        child._process.Start();
        _running[child] = true;
        child._process.BeginOutputReadLine();
        child._process.BeginErrorReadLine();
        return child;
    }

    /// <summary>Waits for the first line of standard output that matches, and returns it.</summary>
    /// <exception cref="InvalidOperationException">The process ended, or the time limit passed; the message has its output.</exception>
    public async Task<string> WaitForLineAsync(Func<string, bool> predicate, string description = "the line that was waited for")
    {
        long deadline = Environment.TickCount64 + (long)WaitTimeout.TotalMilliseconds;
        for (int seen = 0; ;)
        {
            Task outputReceived;
            lock (_lines)
            {
                for (; seen < _lines.Count; seen++)
                    if (predicate(_lines[seen])) return _lines[seen];
                if (_outputEnded) throw new InvalidOperationException($"{Name} ended without {description}.\n{FormatOutput()}");
                outputReceived = _outputReceived.Task;
            }
            try
            {
                await outputReceived.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, deadline - Environment.TickCount64)));
            }
            catch (TimeoutException)
            {
                throw new InvalidOperationException(
                    $"{Name} did not write {description} within {WaitTimeout.TotalSeconds:0} s.\n{FormatOutput()}");
            }
        }
    }

    /// <summary>Ends the standard input of the process.</summary>
    public void CloseStandardInput() => _process.StandardInput.Close();

    /// <summary>Waits until the process ends by itself.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> WaitForExitAsync()
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(WaitTimeout);
        }
        catch (TimeoutException)
        {
            throw new InvalidOperationException($"{Name} did not end within {WaitTimeout.TotalSeconds:0} s.\n{FormatOutput()}");
        }
        _running.TryRemove(this, out _);
        return _process.ExitCode;
    }

    /// <summary>Sends SIGTERM to the process, as an operator or Kubernetes does, and waits for its end.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> TerminateAsync()
    {
        if (IsAlive) _ = SendSignal(_process.Id, SigTerm);
        return await WaitForExitAsync();
    }

    /// <summary>Suspends the process (SIGSTOP), as happens when a machine swaps or a virtual machine is migrated.</summary>
    public void Pause() => _ = SendSignal(_process.Id, SigStop);

    /// <summary>Resumes the process (SIGCONT).</summary>
    public void Resume() => _ = SendSignal(_process.Id, SigContinue);

    /// <summary>The process id.</summary>
    public int Id => _process.Id;

    /// <summary>Kills the process (SIGKILL).</summary>
    public void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // the process has already ended
        }
        _running.TryRemove(this, out _);
    }

    /// <summary>The last lines of output, for the message of a failure.</summary>
    public string FormatOutput()
    {
        lock (_lines)
            return $"--- {Name} ({(_process.HasExited ? $"exit code {_process.ExitCode}" : "running")}) ---\n"
                + string.Join('\n', _lines.TakeLast(40).Concat(_errors.TakeLast(40).Select(line => $"[stderr] {line}")));
    }

    public async ValueTask DisposeAsync()
    {
        Kill();
        await _process.WaitForExitAsync();
    }

    private void OnLine(List<string> lines, string? line, bool isStandardOutput)
    {
        TaskCompletionSource received;
        lock (_lines)
        {
            if (line is not null) lines.Add(line);
            else if (isStandardOutput) _outputEnded = true;
            (received, _outputReceived) = (_outputReceived, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }
        received.SetResult();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
