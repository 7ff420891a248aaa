using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Ndif.Engine.Local;

/// <summary>
/// One thread on which a model's passes run, one after the other. TorchSharp's dispose scopes and grad mode are the thread's, so
/// a pass must not move between threads.
/// </summary>
public sealed class ModelThread : IDisposable
{
    private readonly BlockingCollection<Action> _workQueue = [];
    private readonly Thread _thread;

    public ModelThread(string name)
    {
        _thread = new Thread(() =>
        {
            using (_workQueue)
                while (RunNext()) { }
        }) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Runs on the lane's thread, after what was given before.</summary>
    /// <exception cref="ObjectDisposedException">The lane has ended.</exception>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _workQueue.Add(Do);
        }
        catch (InvalidOperationException)
        {
            throw new ObjectDisposedException(_thread.Name);
        }
        return done.Task;

        void Do()
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        }
    }

    /// <summary>A method of its own, so that while the lane waits nothing refers to the work that it did last.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool RunNext()
    {
        if (!_workQueue.TryTake(out Action? work, Timeout.Infinite)) return false;
        work();
        return true;
    }

    /// <summary>Ends the thread after the work that was given.</summary>
    public void Dispose()
    {
        _workQueue.CompleteAdding();
        if (Thread.CurrentThread != _thread) _thread.Join();
    }
}
