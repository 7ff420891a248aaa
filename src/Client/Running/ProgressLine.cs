using System.Diagnostics;
using System.Globalization;

namespace Ndif.Running;

/// <summary>
/// One line of a terminal that shows what a run waits for: the position in the queue, the loading of the model, the time. It appears after
/// half a second and is erased at the end, and whenever something else is printed.
/// </summary>
internal sealed class ProgressLine : IDisposable
{
    private const string Erase = "\r\e[K";

    private static readonly TimeSpan _delay = TimeSpan.FromMilliseconds(500), _interval = TimeSpan.FromMilliseconds(250);

    private readonly TextWriter _terminal;
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly Lock _lock = new();
    private readonly Timer _timer;
    private string _text = "";
    private bool _isShown, _isDisposed;

    /// <param name="terminal">A terminal that understands the escape sequences of ANSI.</param>
    public ProgressLine(TextWriter terminal)
    {
        _terminal = terminal;
        _timer = new Timer(_ => Show(), null, _delay, _interval);
    }

    /// <summary>A line on the console's error output, if that is a terminal and <see cref="NdifConfig.ShowProgress"/> is set.</summary>
    public static ProgressLine? OnConsole() =>
        NdifConfig.ShowProgress && !Console.IsErrorRedirected ? new ProgressLine(Console.Error) : null;

    /// <summary>Sets what the line shows from its next update on.</summary>
    public void OnEvent(JobEvent jobEvent)
    {
        if (jobEvent.State is null && jobEvent.Raw.Progress is null && jobEvent.Raw.Restart is null) return;
        lock (_lock) _text = jobEvent.ToString();
    }

    /// <summary>Erases the line, so that something else can be printed. It returns with its next update.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            if (_isShown) _terminal.Write(Erase);
            _isShown = false;
        }
    }

    /// <summary>Erases the line for good.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            Clear();
            _isDisposed = true;
        }
        _timer.Dispose();
    }

    private void Show()
    {
        lock (_lock)
        {
            if (_isDisposed || _text.Length == 0) return;
            double seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
            _terminal.Write(string.Create(CultureInfo.InvariantCulture, $"{Erase}{_text} [{seconds:0} s]"));
            _isShown = true;
        }
    }
}
