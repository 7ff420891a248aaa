using System.Runtime.ExceptionServices;
using TorchSharp;

namespace Ndif.Engine.Scheduling;

/// <summary>
/// The thread on which the turns of one job run, so that a turn keeps its stack while it is suspended (a stackful coroutine). Its caller
/// waits while it runs: only one of the two threads runs at a time.
/// </summary>
/// <remarks>TorchSharp's dispose scopes and grad mode are thread-local, and those of a suspended turn stay as they are.</remarks>
internal sealed class JobThread : IDisposable
{
    private readonly SemaphoreSlim _resumed = new(0), _returned = new(0);
    private Thread? _thread;
    private Action? _turn;
    private ExceptionDispatchInfo? _failure;
    private bool _isDisposed;

    /// <summary>What the suspended turn waits for; null if no turn is suspended.</summary>
    public Task? Awaited { get; private set; }

    public bool IsStarted => _thread is not null;

    /// <summary>Runs a turn on the thread, and returns when it has ended or is suspended.</summary>
    public void Run(Action turn)
    {
        if (_thread is null)
        {
            _thread = new Thread(RunTurns) { IsBackground = true, Name = "job" };
            _thread.Start();
        }
        _turn = turn;
        Resume();
    }

    /// <summary>Lets the suspended turn go on, and returns when it has ended or is suspended again.</summary>
    public void Resume()
    {
        _resumed.Release();
        _returned.Wait();
        (ExceptionDispatchInfo? failure, _failure) = (_failure, null);
        failure?.Throw();
    }

    /// <summary>Suspends the turn, in which this is called, until <see cref="Resume"/>.</summary>
    /// <exception cref="OperationCanceledException">The thread was disposed.</exception>
    public void Suspend(Task awaited)
    {
        Awaited = awaited;
        _returned.Release();
        _resumed.Wait();
        Awaited = null;
        if (_isDisposed) throw new OperationCanceledException();
    }

    /// <summary>Ends the thread after the turn that runs; a suspended one ends by an exception.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        if (_thread is null || Thread.CurrentThread == _thread) return;
        while (Awaited is not null) Resume();
        _turn = null;
        _resumed.Release();
        _thread.Join();
    }

    private void RunTurns()
    {
        using var noGraph = torch.no_grad();
        while (!_isDisposed)
        {
            _resumed.Wait();
            if (_turn is null) return;
            try
            {
                using DisposeScope scope = torch.NewDisposeScope();
                _turn();
            }
            catch (Exception e)
            {
                _failure = ExceptionDispatchInfo.Capture(e);
            }
            _turn = null;
            _returned.Release();
        }
    }
}
