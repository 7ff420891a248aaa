using Ndif.Engine.HookedModels;
using Ndif.Engine.Local;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;

namespace Ndif.Engine.Scheduling;

/// <summary>Runs jobs that come from any thread on the thread of a model. A job joins those that run between two passes.</summary>
/// <param name="maxCacheBytes">The memory for keys and values of all jobs.</param>
/// <param name="reuseBytes">The memory for tokens of prompts that later jobs reuse.</param>
internal sealed class AsyncModelScheduler(HookedModel model, ModelThread thread, long maxCacheBytes, long reuseBytes) : IDisposable
{
    private readonly PrefixCache _prefixes = new(reuseBytes) { IsShared = true };
    private readonly Lock _lock = new();
    private readonly Queue<Entry> _incoming = new();
    private ModelScheduler? _scheduler;
    private bool _isRunning;

    /// <summary>What the thread of the model does.</summary>
    public CurrentWork Work { get; } = new();

    /// <summary>Runs a job to its end. A failure is reported by the job (<see cref="JobRun.Error"/>) and not thrown.</summary>
    /// <param name="onStarted">Called on the thread of the model when the job joins.</param>
    /// <exception cref="Exception">The scheduler itself has failed, and with it all of its jobs.</exception>
    public Task RunAsync(JobRun job, Action onStarted)
    {
        var entry = new Entry(job, onStarted, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        lock (_lock)
        {
            _incoming.Enqueue(entry);
            if (!_isRunning) _ = thread.RunAsync(RunUntilIdle);
            _isRunning = true;
        }
        return entry.Completion.Task;
    }

    /// <summary>Frees what jobs have left for later ones. No job may run.</summary>
    public void Dispose() => _prefixes.Dispose();

    private bool RunUntilIdle()
    {
        HashSet<Entry> running = [];
        try
        {
            using ModelScheduler scheduler = new(model, maxCacheBytes, () => TakeIncoming(running), _prefixes) { Work = Work };
            _scheduler = scheduler;
            while (HasJobs(running)) scheduler.Step();
        }
        catch (Exception e)
        {
            lock (_lock)
            {
                running.UnionWith(_incoming);
                _incoming.Clear();
                _isRunning = false;
            }
            foreach (Entry entry in running) entry.Completion.TrySetException(e);
        }
        Work.End();
        return true;
    }

    /// <summary>Takes in the jobs that have come. Returns false if there is none left.</summary>
    private bool HasJobs(HashSet<Entry> running)
    {
        lock (_lock)
        {
            TakeIncoming(running);
            return _isRunning = _scheduler!.JobCount > 0;
        }
    }

    private void TakeIncoming(HashSet<Entry> running)
    {
        lock (_lock)
        {
            while (_incoming.TryDequeue(out Entry? entry))
            {
                running.Add(entry);
                entry.OnStarted();
                _scheduler!.Add(entry.Job, () =>
                {
                    running.Remove(entry);
                    entry.Completion.SetResult();
                });
            }
        }
    }

    private sealed record Entry(JobRun Job, Action OnStarted, TaskCompletionSource Completion);
}
