using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Remote;
using Ndif.Running;

namespace Ndif;

/// <summary>A job on the service: follow it, come back to it by its id, cancel it.</summary>
public sealed class Job
{
    private readonly RemoteService _service;
    private readonly RecordedRun? _run;

    private Job(RemoteService service, string id, RecordedRun? run) => (_service, Id, _run) = (service, id, run);

    public string Id { get; }

    /// <summary>What was saved, by name (or "%" and the node's number), as far as it has come.</summary>
    public IReadOnlyDictionary<string, object?> Results => _results;

    private readonly Dictionary<string, object?> _results = [];

    /// <summary>Comes back to a job, also from another process or after a lost connection.</summary>
    /// <exception cref="NdifException">UNKNOWN_JOB if this key has no such job.</exception>
    public static async Task<Job> AttachAsync(string id, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        RemoteService service = RemoteService.For(remote);
        await service.GetJobAsync(id, cancellationToken);
        return new Job(service, id, null);
    }

    /// <summary>The jobs of this key, newest first.</summary>
    /// <param name="limit">How many at most; the service gives 1000 at most.</param>
    /// <param name="activeOnly">Only those that wait or run.</param>
    public static Task<IReadOnlyList<JobInfo>> ListAsync(int limit = 100, bool activeOnly = false, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return RemoteService.For(remote).ListJobsAsync(limit, activeOnly, cancellationToken);
    }

    internal static async Task<Job> SubmitAsync(RemoteService service, RecordedRun run, CancellationToken cancellationToken)
    {
        if (run.HasCallbacks) throw Errors.CreateException(ErrorCode.Unsupported, "This program asks its client in the middle of its run (t.Local), and a job that is only submitted has none.", "Use RunAsync().");
        // the id is ours, so that trying again after a lost answer does not run the experiment twice
        string id = Guid.CreateVersion7().ToString("N");
        run.MarkStarted();
        try
        {
            await service.SubmitAsync(run.Program, id, cancellationToken);
        }
        catch (NdifException e)
        {
            throw Errors.ToException(run.WithLine(e.Error), e);
        }
        return new Job(service, id, run);
    }

    /// <summary>The job's state now.</summary>
    public Task<JobInfo> GetAsync(CancellationToken cancellationToken = default) => _service.GetJobAsync(Id, cancellationToken);

    /// <summary>
    /// All that happens to the job, from an event on (1 is the first), to its end; fills what was saved on the way.
    /// </summary>
    public async IAsyncEnumerable<JobEvent> Events(ulong from = 1, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (Event happening in _service.WatchAsync(Id, from, cancellationToken))
        {
            ApplyEvent(happening);
            yield return new JobEvent(happening);
        }
    }

    /// <summary>Follows the job to its end.</summary>
    /// <exception cref="NdifException">It failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task WaitAsync(CancellationToken cancellationToken = default)
    {
        await foreach (Event happening in _service.WatchAsync(Id, 1, cancellationToken))
        {
            ApplyEvent(happening);
            if (happening.KindCase is not Event.KindOneofCase.State) continue;
            try
            {
                JobCompletion.ThrowIfUnsuccessful(happening.State);
            }
            catch (NdifException e) when (_run is not null)
            {
                throw Errors.ToException(_run.WithLine(e.Error), e);
            }
        }
    }

    /// <summary>Cancels the job, whether it waits or runs.</summary>
    public Task<JobInfo> CancelAsync(CancellationToken cancellationToken = default) => _service.CancelAsync(Id, cancellationToken);

    /// <summary>
    /// Forgets the job and deletes its results on the service; one that has not ended is cancelled first. What this process has
    /// read of them stays. Who watches it is told UNKNOWN_JOB.
    /// </summary>
    /// <returns>How many blobs of how many bytes were deleted; small results lie in events and are not counted.</returns>
    public async Task<(int Blobs, long Bytes)> DeleteAsync(CancellationToken cancellationToken = default)
    {
        DeleteJobReply reply = await _service.DeleteAsync(Id, cancellationToken);
        return ((int)reply.Blobs, (long)reply.Bytes);
    }

    private void ApplyEvent(Event jobEvent)
    {
        _run?.OnEvent(jobEvent);
        if (jobEvent.KindCase is Event.KindOneofCase.Value)
            _results[jobEvent.Value.Name.Length > 0 ? jobEvent.Value.Name : $"%{jobEvent.Value.Node}"] = DataDeserializer.Deserialize(jobEvent.Value.Data);
    }
}

/// <summary>Jobs that failed because they lost too many workers: for operators, whose keys have the scope `operator` or `admin`.</summary>
public static class DeadLetters
{
    /// <summary>Those of all owners, newest first.</summary>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<IReadOnlyList<DeadLetter>> ListAsync(int limit = 100, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return RemoteService.For(remote).DeadLettersAsync(limit, cancellationToken);
    }

    /// <summary>Runs one again as a new job of the same owner; gives that job's id. Asking twice makes one job.</summary>
    /// <exception cref="NdifException">UNKNOWN_JOB if there is no such dead letter.</exception>
    /// <exception cref="AccessException">The key has neither scope.</exception>
    public static Task<string> RequeueAsync(string jobId, Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).RequeueAsync(jobId, cancellationToken);
}

/// <summary>What the service says of itself.</summary>
public static class Status
{
    /// <summary>Models, workers, queue.</summary>
    /// <exception cref="NdifException">UNAVAILABLE if it does not answer.</exception>
    public static Task<ServiceStatus> GetAsync(Backend? remote = null, CancellationToken cancellationToken = default) =>
        RemoteService.For(remote).StatusAsync(cancellationToken);

    /// <summary>True if a worker holds the model now; false also where no service answers.</summary>
    public static async Task<bool> IsRunningAsync(string model, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        try
        {
            return (await GetAsync(remote, cancellationToken)).Models.Any(m => m.Id == model && m.Replicas > 0);
        }
        catch (NdifException e) when (e.Code is ErrorCode.Unavailable)
        {
            return false;
        }
    }
}
