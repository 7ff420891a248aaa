using System.Threading.Channels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>
/// Publishes the events of a job in their order while it runs, and limits what they take. Enqueued on the thread of the model, published by
/// a background task.
/// </summary>
internal sealed class JobEventPublisher : IAsyncDisposable
{
    /// <summary>What an entry of an event stream needs in Redis beside the event.</summary>
    private const int EventOverheadBytes = 96;

    /// <summary>What an element of a list, or an entry of a map, takes in the memory of a gateway beside its bytes.</summary>
    private const int ElementBytes = 64;

    /// <summary>When the events of a job have this size together, only very small tensors are sent inside them.</summary>
    private const long MaxInlineBytesOfJob = 4L << 20;

    private const int MaxInlineTensorBytesOfLargeJob = 1 << 10;

    /// <summary>How many times as many tokens are buffered as events of statements: others share their pass.</summary>
    private const int TokenBuffers = 16;

    private static readonly TimeSpan _roomPoll = TimeSpan.FromMilliseconds(1);

    private readonly Lease _lease;
    private readonly IJobQueue _jobs;
    private readonly JobLeaseClient _leases;
    private readonly JobPhases _phases;
    private readonly WorkerOptions _options;
    private readonly CancellationTokenSource _cancel, _waiting;
    private readonly CancellationToken _cancelled, _writingCancelled;
    private readonly Channel<(Event Event, ValueBlobs? Blobs)> _events;
    private readonly Task _publishing;
    private long _sentBytes, _eventBytes;

    /// <param name="cancel">Cancels the run, when its lease is lost.</param>
    /// <param name="writingCancelled">Ends the wait for values that are being written.</param>
    /// <param name="stopping">Ends the wait for a queue that cannot be reached.</param>
    public JobEventPublisher(Lease lease, IJobQueue jobs, JobLeaseClient leases, JobPhases phases, WorkerOptions options,
        CancellationTokenSource cancel, CancellationToken writingCancelled, CancellationToken stopping)
    {
        (_lease, _jobs, _leases, _phases, _options, _cancel) = (lease, jobs, leases, phases, options, cancel);
        (_cancelled, _writingCancelled) = (cancel.Token, writingCancelled);
        _waiting = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        _events = Channel.CreateUnbounded<(Event, ValueBlobs?)>(); // with a count, which one for a single reader lacks
        _publishing = PublishEventsAsync();
    }

    /// <summary>Whether nothing is published any more.</summary>
    public bool IsLeaseLost { get; private set; }

    /// <summary>The size of the largest tensor that is sent inside its event.</summary>
    public int MaxInlineTensorBytes =>
        _eventBytes < MaxInlineBytesOfJob ? ProgramFormat.MaxInlineTensorBytes : MaxInlineTensorBytesOfLargeJob;

    /// <summary>Publishes the outcome of the job after its other events.</summary>
    public ValueTask EnqueueOutcomeAsync(StateChanged outcome) =>
        _events.Writer.WriteAsync((new Event { State = outcome }, null), CancellationToken.None);

    /// <summary>Completes when all events have been published; none can be added from now on.</summary>
    public Task CompleteAsync()
    {
        _events.Writer.TryComplete();
        return _publishing;
    }

    public async ValueTask DisposeAsync()
    {
        await CompleteAsync();
        _waiting.Dispose();
    }

    /// <summary>
    /// Waits until the buffer has room for an event. Called on the model thread, on which other jobs run meanwhile. The values before it
    /// may be written for minutes, and the queue may be slow.
    /// </summary>
    /// <exception cref="OperationCanceledException">The run was cancelled or preempted.</exception>
    public void WaitForRoom(JobRun run, bool isToken = false)
    {
        int size = (isToken ? TokenBuffers : 1) * _options.EventBufferSize;
        if (_events.Reader.Count >= size) run.WaitWhileOthersRun(WaitForRoomAsync(size), canLeave: true);
    }

    private async Task WaitForRoomAsync(int size)
    {
        while (_events.Reader.Count >= size) await Task.Delay(_roomPoll, _cancelled);
    }

    /// <summary>Enqueues an event for publication. Values, logs, warnings and tokens wait for room before.</summary>
    /// <param name="blobs">The blobs of a value; it is published when they are written.</param>
    public void Enqueue(Event jobEvent, ValueBlobs? blobs = null)
    {
        if (jobEvent.KindCase is not Event.KindOneofCase.State)
        {
            CountEvent(jobEvent, enforceLimit: jobEvent.KindCase is not Event.KindOneofCase.Token);
        }
        _events.Writer.TryWrite((jobEvent, blobs));
    }

    /// <summary>
    /// Enforces the limit on the bytes that a job sends back: events, and tensors in blobs. Only statements of the program throw. Tokens
    /// come from the shared pass of several owners, so they count, but their excess throws at the next statement.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED; it ends the job.</exception>
    public void CountSentBytes(long bytes, bool enforceLimit)
    {
        _sentBytes += bytes;
        if (enforceLimit) RequireSentBytes(0);
    }

    /// <summary>Checks that the job may send some more bytes.</summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED; it ends the job.</exception>
    public void RequireSentBytes(long more)
    {
        if (_lease.MaxResultBytes is { } maxBytes && _sentBytes + more > maxBytes)
            throw Errors.CreateException(
                ErrorCode.LimitExceeded, $"The job sends back more than {maxBytes:N0} bytes, which is the most that your key may have.",
                "Save less: a slice, a mean or a narrower type. Log less. Or split the experiment.");
    }

    /// <summary>Counts an event, and enforces the limit on all events of the job (<see cref="WorkerOptions.EventBytes"/>).</summary>
    private void CountEvent(Event jobEvent, bool enforceLimit)
    {
        int bytes = jobEvent.CalculateSize();
        CountSentBytes(bytes, enforceLimit);
        _eventBytes += bytes + EventOverheadBytes + (ElementBytes * CountElements(jobEvent));
        if (enforceLimit && _eventBytes > _options.EventBytes)
            throw Errors.CreateException(
                ErrorCode.LimitExceeded, $"The small values, texts and logs of the job have more than {_options.EventBytes:N0} bytes.",
                "Stack values into one tensor and save that, instead of each in a loop. Log less. Or split the experiment.");
    }

    private static long CountElements(Event jobEvent) => jobEvent.KindCase switch
    {
        Event.KindOneofCase.Value => CountElements(jobEvent.Value.Data),
        Event.KindOneofCase.Local => jobEvent.Local.Values.Sum(value => 1 + CountElements(value)),
        _ => 0,
    };

    /// <summary>The elements of the lists, and the entries of the maps, of a value, also of those inside of others.</summary>
    private static long CountElements(Data? data) => data?.ValueCase switch
    {
        Data.ValueOneofCase.List => data.List.Items.Sum(item => 1 + CountElements(item)),
        Data.ValueOneofCase.Map => data.Map.Entries.Sum(entry => 1 + CountElements(entry.Value)),
        _ => 0,
    };

    private async Task PublishEventsAsync()
    {
        bool isCut = false; // a value could not be written: what comes after it is not published
        await foreach ((Event next, ValueBlobs? blobs) in _events.Reader.ReadAllAsync())
        {
            Event jobEvent = CoalesceTokens(next);
            isCut = isCut || !await IsWrittenAsync(blobs);
            if (IsLeaseLost || (isCut && jobEvent.State is null) || blobs?.TryBeginPublishing() is false) continue;
            if (jobEvent.State?.Usage is { } usage)
                usage.Phases.AddRange(_phases.Complete(jobEvent.State.Error is { } error ? error.Code.ToString() : "completed"));
            try
            {
                // waits while the queue cannot be reached: the lease is extended by that time, so the job need not start again
                bool isPublished = await _jobs.PublishWhenReachableAsync(_lease, jobEvent, _waiting.Token);
                blobs?.EndPublishing(isPublished);
                if (!isPublished) await CancelForLostLeaseAsync();
            }
            catch (Exception e)
            {
                _leases.OnPublishFailed(e); // the event may have been published, so its blobs stay
                await CancelForLostLeaseAsync();
            }
        }
    }

    /// <summary>Returns false if a value was not written, or the writing was cancelled before.</summary>
    private async Task<bool> IsWrittenAsync(ValueBlobs? blobs)
    {
        if (blobs?.Written is not { } written) return true;
        if (!written.IsCompleted) await written.WaitAsync(_writingCancelled).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return written.IsCompletedSuccessfully;
    }

    /// <summary>
    /// Combines the new tokens that are already buffered into one event. A batch with many rows generates more tokens per step than there
    /// is time for round trips (publishing an event to Redis took about 1 ms on a busy machine with two cores).
    /// </summary>
    private Event CoalesceTokens(Event first)
    {
        if (first.KindCase is not Event.KindOneofCase.Token || !IsTokenNext()) return first;
        var tokens = new NewTokens { Tokens = { first.Token } };
        while (IsTokenNext() && _events.Reader.TryRead(out var next)) tokens.Tokens.Add(next.Event.Token);
        return new Event { Tokens = tokens };

        bool IsTokenNext() => _events.Reader.TryPeek(out var next) && next.Event.KindCase is Event.KindOneofCase.Token;
    }

    /// <summary>Cancels the run, and publishes nothing any more.</summary>
    public async Task CancelForLostLeaseAsync()
    {
        IsLeaseLost = true;
        await _waiting.CancelAsync();
        await _cancel.CancelAsync();
    }
}
