using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Ndif.Processes;

/// <summary>
/// A process of a test: its lines can be waited for, and it is killed in any case, at the latest when the tests' own process ends.
/// </summary>
public sealed partial class Child : IAsyncDisposable
{
    private const int SigTerm = 15, SigContinue = 18, SigStop = 19; // of Linux

    /// <summary>No wait of these tests is longer, on however busy a machine.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly ConcurrentDictionary<Child, bool> s_living = new();

    private readonly Process _process;
    private readonly List<string> _lines = [], _errors = [];
    private TaskCompletionSource _news = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _outputEnded;

    static Child() => AppDomain.CurrentDomain.ProcessExit += (_, _) =>
    {
        foreach (Child child in s_living.Keys) child.Kill();
    };

    private Child(string name, Process process) => (Name, _process) = (name, process);

    public string Name { get; }

    public bool IsAlive => !_process.HasExited;

    /// <summary>What it has written to its standard output so far.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines) return [.. _lines];
        }
    }

    /// <summary>What it has written to its standard error so far.</summary>
    public string Errors
    {
        get
        {
            lock (_lines) return string.Join('\n', _errors);
        }
    }

    /// <summary>Starts a program. What the tests' own environment says of NDIF does not reach it.</summary>
    public static Child Start(string name, string program, IEnumerable<string> arguments, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (string known in start.Environment.Keys.Where(key => key.StartsWith("NDIF_", StringComparison.Ordinal)).ToArray()) start.Environment.Remove(known);
        foreach ((string key, string value) in environment) start.Environment[key] = value;
        var child = new Child(name, new Process { StartInfo = start });
        child._process.OutputDataReceived += (_, line) => child.Heard(child._lines, line.Data, ofOutput: true);
        child._process.ErrorDataReceived += (_, line) => child.Heard(child._errors, line.Data, ofOutput: false);
        child._process.Start();
        s_living[child] = true;
        child._process.BeginOutputReadLine();
        child._process.BeginErrorReadLine();
        return child;
    }

    /// <summary>The first line of its output that is meant, once it has been written.</summary>
    /// <exception cref="InvalidOperationException">It ended, or patience did, without such a line; the message shows its output.</exception>
    public async Task<string> LineAsync(Func<string, bool> isMeant, string what = "the line that was waited for")
    {
        long deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        for (int seen = 0; ;)
        {
            Task news;
            lock (_lines)
            {
                for (; seen < _lines.Count; seen++)
                    if (isMeant(_lines[seen])) return _lines[seen];
                if (_outputEnded) throw new InvalidOperationException($"{Name} ended without {what}.\n{Report()}");
                news = _news.Task;
            }
            try
            {
                await news.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, deadline - Environment.TickCount64)));
            }
            catch (TimeoutException)
            {
                throw new InvalidOperationException($"{Name} did not write {what} within {Patience.TotalSeconds:0} s.\n{Report()}");
            }
        }
    }

    /// <summary>Its exit code, once it has ended by itself.</summary>
    public async Task<int> EndAsync()
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(Patience);
        }
        catch (TimeoutException)
        {
            throw new InvalidOperationException($"{Name} did not end within {Patience.TotalSeconds:0} s.\n{Report()}");
        }
        s_living.TryRemove(this, out _);
        return _process.ExitCode;
    }

    /// <summary>Asks it to stop, as an operator or Kubernetes does.</summary>
    public async Task<int> TerminateAsync()
    {
        if (IsAlive) _ = SendSignal(_process.Id, SigTerm);
        return await EndAsync();
    }

    /// <summary>Holds it as it is (SIGSTOP), as a machine that swaps or a virtual one that is moved.</summary>
    public void Pause() => _ = SendSignal(_process.Id, SigStop);

    /// <summary>Lets it go on (SIGCONT).</summary>
    public void Continue() => _ = SendSignal(_process.Id, SigContinue);

    /// <summary>Its number, while it lives.</summary>
    public int Id => _process.Id;

    /// <summary>kill -9: it can do nothing any more.</summary>
    public void Kill()
    {
        try
        {
            _process.Kill();
        }
        catch (InvalidOperationException)
        {
            // it has ended already
        }
        s_living.TryRemove(this, out _);
    }

    /// <summary>The end of all that it wrote, for a failure's message.</summary>
    public string Report()
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

    private void Heard(List<string> where, string? line, bool ofOutput)
    {
        TaskCompletionSource heard;
        lock (_lines)
        {
            if (line is not null) where.Add(line);
            else if (ofOutput) _outputEnded = true;
            (heard, _news) = (_news, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }
        heard.SetResult();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
