using System.Runtime.CompilerServices;
using Ndif.Protocol;
using Ndif.Remote;
using Ndif.Running;

namespace Ndif;

/// <summary>A job on the service, which can be followed, cancelled and attached to by its id.</summary>
public sealed class Job
{
    private readonly RemoteService _service;
    private readonly RecordedRun? _run;

    private Job(RemoteService service, string id, RecordedRun? run) => (_service, Id, _run) = (service, id, run);

    /// <summary>The id of the job.</summary>
    public string Id { get; }

    /// <summary>
    /// The results that have arrived so far, by name. A value that was saved without a name has that of its module or operation:
    /// "transformer.h.0.output", "softmax", "softmax #2".
    /// </summary>
    public IReadOnlyDictionary<string, object?> Results => _results;

    private readonly Dictionary<string, object?> _results = [];

    /// <summary>Attaches to a job, also from another process or after a lost connection.</summary>
    /// <exception cref="NdifException">UNKNOWN_JOB: this key has no such job.</exception>
    public static async Task<Job> AttachAsync(string id, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        RemoteService service = RemoteService.For(remote);
        await service.GetJobAsync(id, cancellationToken);
        return new Job(service, id, null);
    }

    /// <summary>The jobs of this key, newest first.</summary>
    /// <param name="limit">The largest number of jobs; the service returns at most 1000.</param>
    /// <param name="activeOnly">Only jobs that wait or run.</param>
    public static Task<IReadOnlyList<JobInfo>> ListAsync(
        int limit = 100, bool activeOnly = false, Backend? remote = null, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        return RemoteService.For(remote).ListJobsAsync(limit, activeOnly, cancellationToken);
    }

    internal static async Task<Job> SubmitAsync(RemoteService service, RecordedRun run, CancellationToken cancellationToken)
    {
        if (run.HasCallbacks)
            throw Errors.CreateException(ErrorCode.Unsupported,
                "This program calls functions of its client during its run (t.Local), and a job that is only submitted has no client.",
                "Use RunAsync().");
        // the client chooses the id, so that repeating the call after a lost answer does not run the experiment twice
        string id = run.ChosenJobId ?? JobIds.New();
        run.OnSubmitting(id);
        run.MarkStarted();
        try
        {
            await service.SubmitAsync(run.Program, id, run, cancellationToken);
        }
        catch (NdifException e)
        {
            throw Errors.ToException(run.WithLine(e.Error), e);
        }
        return new Job(service, id, run);
    }

    /// <summary>The current state of the job.</summary>
    public Task<JobInfo> GetAsync(CancellationToken cancellationToken = default) => _service.GetJobAsync(Id, cancellationToken);

    /// <summary>
    /// The events of the job from a number on (1 is the first) to its end. They set the results of the saved values. If the job starts
    /// over on another worker, an event of kind <c>Restart</c> drops the results of the attempt that has ended.
    /// </summary>
    public async IAsyncEnumerable<JobEvent> Events(ulong from = 1, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (Event jobEvent in _service.WatchAsync(Id, from, cancellationToken))
        {
            ApplyEvent(jobEvent);
            yield return new JobEvent(jobEvent);
        }
    }

    /// <summary>Follows the job to its end.</summary>
    /// <exception cref="NdifException">The job failed.</exception>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    public async Task WaitAsync(CancellationToken cancellationToken = default)
    {
        await foreach (Event jobEvent in _service.WatchAsync(Id, 1, cancellationToken))
        {
            ApplyEvent(jobEvent);
            if (jobEvent.KindCase is not Event.KindOneofCase.State) continue;
            try
            {
                JobCompletion.ThrowIfUnsuccessful(jobEvent.State);
            }
            catch (NdifException e) when (_run is not null)
            {
                throw Errors.ToException(_run.WithLine(e.Error), e);
            }
        }
    }

    /// <summary>Cancels the job while it waits or runs.</summary>
    public Task<JobInfo> CancelAsync(CancellationToken cancellationToken = default) => _service.CancelAsync(Id, cancellationToken);

    /// <summary>
    /// Deletes the job and its results on the service; a job that has not ended is cancelled first. Results that this process has read
    /// remain. Clients that follow the job receive UNKNOWN_JOB.
    /// </summary>
    /// <returns>The number and size in bytes of the deleted blobs. Small results are part of events and not counted.</returns>
    public async Task<(int Blobs, long Bytes)> DeleteAsync(CancellationToken cancellationToken = default)
    {
        DeleteJobReply reply = await _service.DeleteAsync(Id, cancellationToken);
        return ((int)reply.Blobs, (long)reply.Bytes);
    }

    private void ApplyEvent(Event jobEvent)
    {
        _run?.OnEvent(jobEvent);
        if (jobEvent.KindCase is Event.KindOneofCase.Restart) _results.Clear(); // of an attempt that has ended
        if (jobEvent.KindCase is Event.KindOneofCase.Value)
        {
            string name = jobEvent.Value.Name.Length > 0 ? jobEvent.Value.Name : $"%{jobEvent.Value.Node}";
            _results[name] = DataDeserializer.Deserialize(jobEvent.Value.Data);
        }
    }
}
