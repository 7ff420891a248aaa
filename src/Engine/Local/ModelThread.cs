using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Ndif.Engine.Local;

/// <summary>
/// The thread that runs the passes of a model, one after another, or an operation beside them. TorchSharp's dispose scopes and grad mode
/// are thread-local, so a pass must not move between threads.
/// </summary>
internal sealed class ModelThread : IDisposable
{
    private readonly BlockingCollection<Action> _workQueue = [];
    private readonly Thread _thread;

    /// <param name="niceness">Its priority (<see cref="ThreadNiceness"/>).</param>
    public ModelThread(string name, int niceness = 0)
    {
        _thread = new Thread(() =>
        {
            if (niceness > 0) ThreadNiceness.Set(niceness);
            using (_workQueue)
                while (RunNext()) { }
        }) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Runs work on the thread, after the work that was queued before.</summary>
    /// <exception cref="ObjectDisposedException">The thread has been disposed.</exception>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _workQueue.Add(RunAndComplete);
        }
        catch (InvalidOperationException)
        {
            throw new ObjectDisposedException(_thread.Name);
        }
        return completion.Task;

        void RunAndComplete()
        {
            try
            {
                completion.SetResult(work());
            }
            catch (Exception e)
            {
                completion.SetException(e);
            }
        }
    }

    /// <summary>A separate method, so that the waiting thread does not keep the last work item alive.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunNext()
    {
        if (!_workQueue.TryTake(out Action? work, Timeout.Infinite)) return false;
        work();
        return true;
    }

    /// <summary>Ends the thread after the queued work.</summary>
    public void Dispose()
    {
        _workQueue.CompleteAdding();
        if (Thread.CurrentThread != _thread) _thread.Join();
    }
}
