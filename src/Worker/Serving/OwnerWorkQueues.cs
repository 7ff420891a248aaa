using Ndif.Engine.Local;

namespace Ndif.Worker.Serving;

/// <summary>
/// Work for jobs beside the threads of the models: one piece of an owner runs at a time, in their order; those of different owners run at
/// the same time.
/// </summary>
internal sealed class OwnerWorkQueues
{
    /// <summary>A lower priority than that of the models.</summary>
    private const int Niceness = 10;

    private readonly Dictionary<string, Task> _last = []; // by owner

    /// <summary>Completes when the work has ended. Work that is cancelled before it runs ends at once.</summary>
    public Task RunAsync(string owner, Func<Task> work, CancellationToken cancellationToken)
    {
        lock (_last)
        {
            Task previous = _last.GetValueOrDefault(owner, Task.CompletedTask);
            Task ended = RunAfterAsync(previous, work, cancellationToken);
            Task last = WaitForBothAsync(previous, ended);
            _last[owner] = last;
            _ = ForgetAsync(owner, last);
            return ended;
        }
    }

    /// <summary>Runs long work on a thread of its own with a lower priority: it would occupy one of the thread pool for too long.</summary>
    public static Task RunOnThreadAsync(Action work, CancellationToken cancellationToken) => Task.Factory.StartNew(() =>
    {
        ThreadNiceness.Set(Niceness);
        work();
    }, cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static async Task RunAfterAsync(Task previous, Func<Task> work, CancellationToken cancellationToken)
    {
        await previous.WaitAsync(cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        await work();
    }

    /// <summary>The next work waits for this too: the work before one that was cancelled may still run.</summary>
    private static async Task WaitForBothAsync(Task previous, Task ended)
    {
        await previous;
        await ended.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task ForgetAsync(string owner, Task last)
    {
        await last.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        lock (_last)
            if (_last.GetValueOrDefault(owner) == last) _last.Remove(owner);
    }
}
