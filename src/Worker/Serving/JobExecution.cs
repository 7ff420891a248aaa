using System.Buffers.Binary;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Channels;
using Google.Protobuf;
using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Protocol.Wire;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using TorchSharp;

namespace Ndif.Worker.Serving;

/// <summary>
/// Runs one leased job beside others:
/// 1. <see cref="Start"/> publishes the RUNNING state and compiles the program.
/// 2. The model thread runs the program. It enqueues events (values, logs, tokens), which a background task publishes in order, so that a
///    client receives a value while the forward pass still runs.
/// 3. <see cref="RenewLeaseAsync"/> renews the lease meanwhile. If the lease is lost, the run is cancelled.
/// 4. <see cref="CompleteAsync"/> publishes the remaining events and the outcome, or returns the job to the queue if the worker stops.
/// </summary>
internal sealed class JobExecution : IRunSink, IAsyncDisposable
{
    private static readonly TimeSpan _localCallPoll = TimeSpan.FromMilliseconds(1), _lastEventsTimeout = TimeSpan.FromSeconds(3);

    /// <summary>What an entry of an event stream needs in Redis beside the event.</summary>
    private const int EventOverheadBytes = 96;

    /// <summary>When the events of a job have this size together, only very small tensors are sent inside them.</summary>
    private const long MaxInlineBytesOfJob = 4L << 20;

    /// <summary>How often a job runs that lacks memory because of others, before it fails.</summary>
    private const int MaxMemoryAttempts = 10;

    private const int MaxInlineTensorBytesOfLargeJob = 1 << 10;

    private readonly Lease _lease;
    private readonly JobLeaseClient _leases;
    private readonly LeasedJobs _jobs;
    private readonly QueueBackend _backend;
    private readonly WorkerOptions _options;
    private readonly CancellationTokenSource _cancel, _timeout, _waiting;
    private readonly Channel<Event> _events;
    private readonly Task _publishing;
    private readonly JobPhases _phases;
    private readonly OwnTime _ownTime;
    private readonly DateTimeOffset _leasedAt;
    private Plan? _plan;
    private JobRun? _run;
    private long _resultBytes, _sentBytes, _eventBytes;
    private ulong _lastTicket;
    private bool _isLeaseLost;

    private JobExecution(
        Lease lease, DateTimeOffset modelReady, JobLeaseClient leases, LeasedJobs jobs, QueueBackend backend, WorkerOptions options,
        TimeProvider time, CancellationToken stopping)
    {
        (_jobs, _lease, _leases, _backend, _options, _leasedAt) =
            (jobs, lease, leases, backend, options, time.GetUtcNow());
        _phases = new JobPhases(lease, modelReady);
        TimeLimit = lease.TimeLimit is { } requested && requested < options.WallTime ? requested : options.WallTime;
        _timeout = new CancellationTokenSource();
        _ownTime = new OwnTime(TimeLimit, _timeout);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lease.Lost, stopping, _timeout.Token);
        _waiting = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        _events = Channel.CreateBounded<Event>(new BoundedChannelOptions(options.EventBufferSize) { SingleReader = true });
        _publishing = PublishEventsAsync();
    }

    public Lease Lease => _lease;

    private TimeSpan TimeLimit { get; }

    /// <summary>The run for the engine; null if the program is not valid for the model.</summary>
    public JobRun? Run => _run;

    public Error? Error { get; private set; }

    /// <summary>1. Publishes that the job runs, and compiles its program.</summary>
    /// <param name="modelReady">When the model was loaded, which may be after the lease was granted.</param>
    public static JobExecution Start(
        Lease lease, HookedLanguageModel model, DateTimeOffset modelReady, JobLeaseClient leases, LeasedJobs jobs,
        QueueBackend backend, WorkerOptions options, TimeProvider time, CancellationToken stopping)
    {
        var execution = new JobExecution(lease, modelReady, leases, jobs, backend, options, time, stopping);
        execution._phases.OnCompileStarted();
        execution._ownTime.Start(sharers: 1);
        execution.Enqueue(
            new Event { State = new StateChanged { State = JobState.Running, Attempt = (uint)lease.Attempt, Worker = options.Id } });
        try
        {
            execution._plan = Compiler.Compile(Parse(lease.Program), model);
            execution._run = new JobRun(
                execution._plan, execution, execution.GetConstant, options.JobMemoryBudget, () => execution._ownTime.Left,
                execution._cancel.Token, jobs.Memory)
            {
                Owner = lease.Owner, Weight = lease.Weight, Seed = GetSeed(lease.JobId), OwnTime = execution._ownTime,
            };
        }
        catch (Exception e)
        {
            execution.Error = Errors.FromException(e);
        }
        execution._ownTime.Stop();
        execution._phases.OnCompileEnded();
        return execution;
    }

    /// <summary>Called on the model thread when the job begins to run.</summary>
    public void OnRunStarted() => _phases.OnRunStarted();

    /// <summary>Called when the job has ended.</summary>
    public void OnRunEnded() => _phases.OnRunEnded();

    public void OnValueSaved(uint node, string name, object? value) => _phases.MeasureSave(() =>
        Enqueue(new Event { Value = new SavedValue { Node = node, Name = name, Data = ValueSerializer.Serialize(value, StoreTensor) } }));

    public void OnLogged(uint node, string text) => Enqueue(new Event { Log = new LogLine { Text = text, Line = _plan!.LineOf(node) } });

    public void OnWarning(uint node, string module, string message) =>
        Enqueue(new Event { Warning = new Warning { Message = message, Module = module, Line = _plan!.LineOf(node) } });

    public void OnTokenGenerated(NewToken token) => Enqueue(new Event { Token = token });

    /// <summary>
    /// Sends a local request as an event of the job, and waits for the reply of a client that follows the job on a Run call.
    /// </summary>
    public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
    {
        TimeSpan limit = timeout < _options.LocalCallTimeout ? timeout : _options.LocalCallTimeout;
        var request = new LocalRequest
        {
            Callback = callback, Ticket = ((ulong)_lease.Token << 20) + ++_lastTicket, TimeoutSeconds = limit.TotalSeconds,
            Values = { values.Select(v => ValueSerializer.Serialize(v, StoreTensor)) },
        };
        Enqueue(new Event { Local = request });
        LocalReply? reply = WaitWhileOthersRun(AwaitReplyAsync(request.Ticket, limit));
        if (reply is null)
            throw Errors.CreateException(
                ErrorCode.LocalCallFailed, $"The client did not answer a local call within {limit.TotalSeconds:0.###} s.",
                "The forward pass waits for the answer. Answer sooner, or pass a longer timeout, up to the limit of the service. "
                + "A job that no client follows cannot make local calls.");
        if (reply.Error is { } error) throw Errors.ToException(error);
        ResolveBlobsAsync(reply.Value ?? new Data()).GetAwaiter().GetResult();
        return reply.Value ?? new Data();
    }

    /// <summary>Waits on the thread of the model, on which the other jobs go on meanwhile: a job that waits holds no model.</summary>
    private LocalReply? WaitWhileOthersRun(Task<LocalReply?> reply)
    {
        int sharers = _ownTime.StartWaiting(); // counts for the limit, and is not charged
        try
        {
            while (Task.WaitAny([reply], _localCallPoll) < 0) _run?.RunOthers?.Invoke();
            return reply.GetAwaiter().GetResult();
        }
        finally
        {
            _ownTime.Stop();
            if (sharers > 0) _ownTime.Start(sharers);
        }
    }

    /// <summary>Waits for a reply. While the queue cannot be reached, the time does not count.</summary>
    private async Task<LocalReply?> AwaitReplyAsync(ulong ticket, TimeSpan limit)
    {
        for (long started = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                TimeSpan left = limit - Stopwatch.GetElapsedTime(started);
                return await _backend.Jobs.AwaitReplyAsync(_lease, ticket, left > TimeSpan.Zero ? left : TimeSpan.Zero, _cancel.Token);
            }
            catch (NdifException e) when (FailureBackoff.IsPassing(e))
            {
                long failed = Stopwatch.GetTimestamp();
                await Task.Delay(TimeSpan.FromMilliseconds(200), _cancel.Token);
                started += Stopwatch.GetTimestamp() - failed;
            }
        }
    }

    /// <summary>3. Renews the lease until the job has ended. A lost lease cancels the run.</summary>
    public async Task RenewLeaseAsync(CancellationToken jobEnded)
    {
        if (await _leases.RenewUntilLostAsync(_lease, jobEnded)) await CancelForLostLeaseAsync();
    }

    /// <summary>
    /// 4. Publishes the remaining events and the outcome. If the worker stops before the job has ended, the job returns to the queue.
    /// </summary>
    public async Task CompleteAsync(CancellationToken stopping)
    {
        Error? error = Error ?? _run?.Error;
        Usage usage = GetUsage(_ownTime.Used);
        _run?.Dispose();
        bool isCancelled = error is { Code: ErrorCode.JobCancelled };
        // A job that was cancelled for another reason than its time limit has no outcome here: it is returned. If its lease was lost, that
        // changes nothing; if it is still valid, the job runs again.
        // Nor has one that lacks memory only because of others: it runs again when they have ended.
        bool isShortOfMemory = error is { Code: ErrorCode.OutOfMemory, Retryable: true } && _lease.Attempt < MaxMemoryAttempts;
        if (isShortOfMemory) _jobs.OnMemoryShortage();
        bool isReturned =
            isShortOfMemory || (isCancelled && (_lease.Lost.IsCancellationRequested || stopping.IsCancellationRequested));
        if (!isReturned && !_isLeaseLost)
        {
            if (isCancelled && _timeout.IsCancellationRequested)
                Error = error = Errors.Create(ErrorCode.JobTimeout,
                    $"The job ran longer than {TimeLimit.TotalSeconds:0.###} s and was stopped: it has used "
                    + $"{(_ownTime.Used + _ownTime.Waited).TotalSeconds:0.##} s of its own, without the time in which other jobs ran.",
                    "Split the work into several jobs, or request a longer time limit.");
            await _events.Writer.WriteAsync(new Event { State = GetOutcome(error, usage) }, CancellationToken.None);
        }
        _events.Writer.TryComplete();
        await _publishing;
        if (isReturned) await _leases.ReturnAsync(_lease);
    }

    /// <summary>
    /// Ends the job while its run goes on in a native call, before the process ends: over its limit it fails, and without one it returns to
    /// the queue. A job that was cancelled has ended already.
    /// </summary>
    /// <param name="work">The operation or the module that is running.</param>
    /// <param name="node">The node of the operation, or null.</param>
    public async Task EndUnresponsiveAsync(string work, uint? node)
    {
        if (_lease.Lost.IsCancellationRequested) return;
        if (!_timeout.IsCancellationRequested)
        {
            await _leases.ReturnAsync(_lease);
            return;
        }
        Error error = Errors.Create(ErrorCode.JobTimeout,
            $"The job ran longer than {TimeLimit.TotalSeconds:0.###} s, and {work} did not end when it was stopped, so that its worker had "
            + "to be started again.",
            "The job is not tried again. Use fewer or smaller rows, or split the work into several jobs.");
        if (node is { } known) error = _plan!.WithLocation(error, known);
        _events.Writer.TryComplete();
        await _publishing.WaitAsync(_lastEventsTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Usage usage = GetUsage(TimeLimit - _ownTime.Waited);
        usage.Phases.AddRange(_phases.Complete(error.Code.ToString()));
        await _backend.Jobs.PublishWhenReachableAsync(_lease, new Event { State = GetOutcome(error, usage) }, CancellationToken.None);
    }

    private Usage GetUsage(TimeSpan computed) => new()
    {
        Tokens = (ulong)(_run?.TokenCount ?? 0),
        Passes = (ulong)(_run?.ForwardPassCount ?? 0),
        ReusedLayers = (ulong)(_run?.ReusedLayerCount ?? 0),
        ReusedTokens = (ulong)(_run?.ReusedTokenCount ?? 0),
        ComputeSeconds = computed.TotalSeconds, // not the time in which other jobs ran
        ResultBytes = (ulong)_resultBytes,
        QueueSeconds = Math.Max(0, (_leasedAt - _lease.Submitted).TotalSeconds),
    };

    private StateChanged GetOutcome(Error? error, Usage usage) => new()
    {
        State = error is null ? JobState.Completed : JobState.Failed, Error = error is null ? null : ServerPaths.Remove(error),
        Usage = usage, Worker = _options.Id, Attempt = (uint)_lease.Attempt,
    };

    public async ValueTask DisposeAsync()
    {
        _run?.Dispose();
        _events.Writer.TryComplete();
        await _publishing;
        _cancel.Dispose();
        _timeout.Dispose();
        _waiting.Dispose();
        _phases.Dispose();
    }

    /// <summary>Every attempt of a job draws the same random numbers, so that a client continues from one with the next.</summary>
    private static long GetSeed(string jobId) =>
        BinaryPrimitives.ReadInt64LittleEndian(SHA256.HashData(Encoding.UTF8.GetBytes(jobId))) & long.MaxValue;

    private static Program Parse(ReadOnlyMemory<byte> program)
    {
        try
        {
            WireScan.Measure(program.Span, Program.Descriptor, WireLimits.ForMessagesOf(program.Length));
            return Program.Parser.ParseFrom(program.Span);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw Errors.CreateException(ErrorCode.InvalidProgram, "The program is not a valid protobuf message.", inner: e);
        }
    }

    /// <summary>Enqueues an event for publication. Called on the model thread, which waits if the buffer is full.</summary>
    private void Enqueue(Event jobEvent)
    {
        if (jobEvent.KindCase is not Event.KindOneofCase.State)
        {
            bool isFromStatement = jobEvent.KindCase is Event.KindOneofCase.Value or Event.KindOneofCase.Log or Event.KindOneofCase.Local;
            CountEventBytes(jobEvent.CalculateSize(), enforceLimit: isFromStatement);
        }
        if (!_events.Writer.TryWrite(jobEvent)) _events.Writer.WriteAsync(jobEvent, _cancel.Token).AsTask().GetAwaiter().GetResult();
    }

    /// <summary>
    /// Enforces the limit on the bytes that a job sends back: events, and tensors in blobs. Only statements of the program throw. Tokens
    /// and warnings come from the shared pass of several owners, so they count, but their excess throws at the next statement.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED; it ends the job.</exception>
    private void CountSentBytes(long bytes, bool enforceLimit)
    {
        _sentBytes += bytes;
        if (enforceLimit && _lease.MaxResultBytes is { } maxBytes && _sentBytes > maxBytes)
            throw Errors.CreateException(
                ErrorCode.LimitExceeded, $"The job sends back more than {maxBytes:N0} bytes, which is the most that your key may have.",
                "Save less: a slice, a mean or a narrower type. Log less. Or split the experiment.");
    }

    /// <summary>Counts an event, and enforces the limit on all events of the job (<see cref="WorkerOptions.EventBytes"/>).</summary>
    private void CountEventBytes(int bytes, bool enforceLimit)
    {
        CountSentBytes(bytes, enforceLimit);
        _eventBytes += bytes + EventOverheadBytes;
        if (enforceLimit && _eventBytes > _options.EventBytes)
            throw Errors.CreateException(
                ErrorCode.LimitExceeded, $"The small values, texts and logs of the job have more than {_options.EventBytes:N0} bytes.",
                "Stack values into one tensor and save that, instead of each in a loop. Log less. Or split the experiment.");
    }

    private async Task PublishEventsAsync()
    {
        await foreach (Event next in _events.Reader.ReadAllAsync())
        {
            Event jobEvent = CoalesceTokens(next);
            if (_isLeaseLost) continue;
            if (jobEvent.State?.Usage is { } usage)
                usage.Phases.AddRange(_phases.Complete(jobEvent.State.Error is { } error ? error.Code.ToString() : "completed"));
            try
            {
                // waits while the queue cannot be reached: the lease is extended by that time, so the job need not start again
                if (!await _backend.Jobs.PublishWhenReachableAsync(_lease, jobEvent, _waiting.Token)) await CancelForLostLeaseAsync();
            }
            catch (Exception e)
            {
                _leases.OnPublishFailed(e);
                await CancelForLostLeaseAsync();
            }
        }
    }

    /// <summary>
    /// Combines the new tokens that are already buffered into one event. A batch with many rows generates more tokens per step than there
    /// is time for round trips (publishing an event to Redis took about 1 ms on a busy machine with two cores).
    /// </summary>
    private Event CoalesceTokens(Event first)
    {
        if (first.KindCase is not Event.KindOneofCase.Token || !IsTokenNext()) return first;
        var tokens = new NewTokens { Tokens = { first.Token } };
        while (IsTokenNext() && _events.Reader.TryRead(out Event? next)) tokens.Tokens.Add(next.Token);
        return new Event { Tokens = tokens };

        bool IsTokenNext() => _events.Reader.TryPeek(out Event? next) && next.KindCase is Event.KindOneofCase.Token;
    }

    private async Task CancelForLostLeaseAsync()
    {
        _isLeaseLost = true;
        await _waiting.CancelAsync();
        await _cancel.CancelAsync();
    }

    /// <summary>
    /// Serializes a tensor. A small one is sent inline in its event, a large one as a blob that the owner of the job may read.
    /// </summary>
    private Tensor StoreTensor(torch.Tensor tensor)
    {
        long bytes = tensor.numel() * tensor.element_size();
        _resultBytes += bytes;
        int maxInline = _eventBytes < MaxInlineBytesOfJob ? ProgramFormat.MaxInlineTensorBytes : MaxInlineTensorBytesOfLargeJob;
        if (bytes <= maxInline) return tensor.ToData().ToProto(); // counted with its event
        CountSentBytes(bytes, enforceLimit: true);
        using torch.Tensor plain = TensorBytes.ToContiguousCpu(tensor);
        BlobRef blob = StoreBlobAsync(plain).GetAwaiter().GetResult();
        return new Tensor { Dtype = (DataType)TensorBytes.FromTorch(plain.dtype), Shape = { plain.shape }, Blob = blob };
    }

    private async Task<BlobRef> StoreBlobAsync(torch.Tensor tensor)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                BlobRef blob = await _backend.Blobs.PutNewAsync((stream, _) =>
                {
                    TensorBytes.CopyTo(tensor, stream);
                    return Task.CompletedTask;
                }, _cancel.Token);
                await _backend.Blobs.GrantAsync(blob.Id, _lease.Owner, _lease.JobId, _cancel.Token);
                return blob;
            }
            catch (Exception failure) when (StorageFailure.IsStorageFailure(failure))
            {
                throw StorageFailure.ToException(failure);
            }
            catch (NdifException e) when (e.Code is ErrorCode.UnknownBlob && attempt < 3)
            {
                // the blob was deleted before the grant
            }
        }
    }

    private TensorData GetConstant(uint index)
    {
        Tensor tensor = _plan!.Program.Constants[(int)index];
        return tensor.IsBlob() ? DownloadConstantAsync(tensor).GetAwaiter().GetResult() : TensorData.FromProto(tensor);
    }

    /// <summary>Replaces the blob references of a reply with their bytes.</summary>
    private async Task ResolveBlobsAsync(Data data)
    {
        foreach (Tensor tensor in data.BlobTensors()) tensor.Inline = (await DownloadConstantAsync(tensor)).ToProto().Inline;
    }

    private async Task<TensorData> DownloadConstantAsync(Tensor tensor)
    {
        await using Stream? stream = await _backend.Blobs.CanReadAsync(tensor.Blob.Id, _lease.Owner, _cancel.Token)
            ? await _backend.Blobs.OpenAsync(tensor.Blob.Id, _cancel.Token) : null;
        if (stream is null)
            throw Errors.CreateException(
                ErrorCode.UnknownBlob, "A constant of the program is no longer on the service.",
                "Submit the program again; constants are kept for a limited time.");
        _run?.Limits.RequireMemory("A constant or an answer", stream.Length, stream.Length); // read, then copied into a tensor
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)stream.Length));
        await stream.ReadExactlyAsync(bytes, _cancel.Token);
        return TensorData.FromProto(
            new Tensor { Dtype = tensor.Dtype, Shape = { tensor.Shape }, Inline = UnsafeByteOperations.UnsafeWrap(bytes) });
    }
}
