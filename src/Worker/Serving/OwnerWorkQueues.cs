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

    /// <summary>Completes when the work has ended.</summary>
    public Task RunAsync(string owner, Func<Task> work, CancellationToken cancellationToken)
    {
        lock (_last)
        {
            Task ended = RunAfterAsync(_last.GetValueOrDefault(owner, Task.CompletedTask), work, cancellationToken);
            _last[owner] = ended;
            _ = ForgetAsync(owner, ended);
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
        await previous.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        await work();
    }

    private async Task ForgetAsync(string owner, Task ended)
    {
        await ended.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_last)
            if (_last.GetValueOrDefault(owner) == ended) _last.Remove(owner);
    }
}
