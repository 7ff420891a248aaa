using System.Diagnostics;
using System.Threading.Channels;
using Google.Protobuf;
using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Queue;
using TorchSharp;

namespace Ndif.Worker.Serving;

/// <summary>
/// One leased job on its way through a pass. The engine's thread hands over what happens; a pump publishes it in order, so that
/// a value is with the client while the pass still runs. The queue's answer "lease lost" cancels the run.
/// </summary>
internal sealed class JobExecution : IRunSink, IAsyncDisposable
{
    private readonly Lease _lease;
    private readonly JobLeaseClient _leases;
    private readonly QueueBackend _backend;
    private readonly WorkerOptions _options;
    private readonly CancellationTokenSource _cancel;
    private readonly Channel<Event> _events;
    private readonly Task _publishing;
    private readonly JobPhases _phases;
    private readonly long _startTimestamp = Stopwatch.GetTimestamp();
    private readonly DateTimeOffset _leasedAt;
    private Plan? _plan;
    private JobRun? _run;
    private long _resultBytes, _sentBytes;
    private ulong _lastTicket;
    private bool _isLeaseLost;

    private JobExecution(Lease lease, DateTimeOffset modelReady, JobLeaseClient leases, QueueBackend backend, WorkerOptions options, TimeProvider time, CancellationToken stopping)
    {
        (_lease, _leases, _backend, _options, _leasedAt) = (lease, leases, backend, options, time.GetUtcNow());
        _phases = new JobPhases(lease, modelReady);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lease.Lost, stopping);
        TimeSpan limit = lease.TimeLimit is { } asked && asked < options.WallTime ? asked : options.WallTime;
        TimeLimit = limit;
        _cancel.CancelAfter(limit);
        _events = Channel.CreateBounded<Event>(new BoundedChannelOptions(options.EventBuffer) { SingleReader = true });
        _publishing = PublishEventsAsync();
    }

    public Lease Lease => _lease;

    private TimeSpan TimeLimit { get; }

    /// <summary>The run, ready for the engine; null if the job's program is not valid for the model.</summary>
    public JobRun? Run => _run;

    public Error? Error { get; private set; }

    /// <summary>Says that the job runs, and compiles it.</summary>
    /// <param name="modelReady">When the model was loaded, which may be later than the lease.</param>
    public static JobExecution Start(
        Lease lease, HookedLanguageModel model, DateTimeOffset modelReady, JobLeaseClient leases, QueueBackend backend, WorkerOptions options,
        TimeProvider time, CancellationToken stopping)
    {
        var execution = new JobExecution(lease, modelReady, leases, backend, options, time, stopping);
        execution._phases.OnCompileStarted();
        execution.Enqueue(new Event { State = new StateChanged { State = JobState.Running, Attempt = (uint)lease.Attempt, Worker = options.Id } });
        try
        {
            execution._plan = Compiler.Compile(Parse(lease.Program), model);
            execution._run = new JobRun(execution._plan, execution, execution.GetConstant, options.JobMemoryBudget, execution._cancel.Token);
        }
        catch (Exception e)
        {
            execution.Error = Errors.FromException(e);
        }
        execution._phases.OnCompileEnded();
        return execution;
    }

    /// <summary>The pass that it is in begins, and has ended.</summary>
    public void OnPassStarted() => _phases.OnRunStarted();

    public void OnPassEnded() => _phases.OnRunEnded();

    public void OnValueSaved(uint node, string name, object? value) => _phases.MeasureSave(() =>
        Enqueue(new Event { Value = new SavedValue { Node = node, Name = name, Data = ValueSerializer.Serialize(value, StoreTensor) } }));

    public void OnLogged(uint node, string text) => Enqueue(new Event { Log = new LogLine { Text = text, Line = _plan!.LineOf(node) } });

    public void OnWarning(uint node, string module, string message) =>
        Enqueue(new Event { Warning = new Warning { Message = message, Module = module, Line = _plan!.LineOf(node) } });

    public void OnTokenGenerated(NewToken token) => Enqueue(new Event { Token = token });

    /// <summary>Asks through the job's events; whoever follows it on a Run call may answer.</summary>
    public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
    {
        TimeSpan limit = timeout < _options.LocalCallTimeout ? timeout : _options.LocalCallTimeout;
        var request = new LocalRequest
        {
            Callback = callback, Ticket = ((ulong)_lease.Token << 20) + ++_lastTicket, TimeoutSeconds = limit.TotalSeconds,
            Values = { values.Select(v => ValueSerializer.Serialize(v, StoreTensor)) },
        };
        Enqueue(new Event { Local = request });
        LocalReply? reply = _backend.Jobs.AwaitReplyAsync(_lease, request.Ticket, limit, _cancel.Token).GetAwaiter().GetResult();
        if (reply is null)
            throw Errors.CreateException(ErrorCode.LocalCallFailed, $"The client did not answer a local call within {limit.TotalSeconds:0.###} s.",
                "The forward pass waits meanwhile. Answer sooner, or pass a longer timeout, up to the service's limit; a job that nobody follows has no client to ask.");
        if (reply.Error is { } error) throw Errors.ToException(error);
        ResolveBlobsAsync(reply.Value ?? new Data()).GetAwaiter().GetResult();
        return reply.Value ?? new Data();
    }

    /// <summary>Renews the lease until the job has ended; a lease that is lost cancels the run.</summary>
    public async Task RenewLeaseAsync(CancellationToken jobEnded)
    {
        if (await _leases.RenewUntilLostAsync(_lease, jobEnded)) await CancelForLostLeaseAsync();
    }

    /// <summary>Publishes what is left, and the job's end. A job whose worker is stopping goes back to the queue.</summary>
    public async Task CompleteAsync(CancellationToken stopping)
    {
        Error? error = Error ?? _run?.Error;
        var usage = new Usage
        {
            Tokens = (ulong)(_run?.TokenCount ?? 0),
            Passes = (ulong)(_run?.ForwardPassCount ?? 0),
            ComputeSeconds = Stopwatch.GetElapsedTime(_startTimestamp).TotalSeconds,
            ResultBytes = (ulong)_resultBytes,
            QueueSeconds = Math.Max(0, (_leasedAt - _lease.Submitted).TotalSeconds),
        };
        _run?.Dispose();
        bool isReturned = stopping.IsCancellationRequested && error is { Code: ErrorCode.JobCancelled } && !_lease.Lost.IsCancellationRequested;
        if (!isReturned && !_isLeaseLost)
        {
            if (error is { Code: ErrorCode.JobCancelled })
                error = Errors.Create(ErrorCode.JobTimeout, $"The job ran longer than {TimeLimit.TotalSeconds:0.###} s and was stopped.", "Ask for less in one job, or for a longer time limit.");
            await _events.Writer.WriteAsync(new Event
            {
                State = error is null
                    ? new StateChanged { State = JobState.Completed, Usage = usage, Worker = _options.Id, Attempt = (uint)_lease.Attempt }
                    : new StateChanged { State = JobState.Failed, Error = error, Usage = usage, Worker = _options.Id, Attempt = (uint)_lease.Attempt },
            }, CancellationToken.None);
        }
        _events.Writer.TryComplete();
        await _publishing;
        if (isReturned) await _leases.ReturnAsync(_lease);
    }

    public async ValueTask DisposeAsync()
    {
        _run?.Dispose();
        _events.Writer.TryComplete();
        await _publishing;
        _cancel.Dispose();
        _phases.Dispose();
    }

    private static Program Parse(ReadOnlyMemory<byte> program)
    {
        try
        {
            return Program.Parser.ParseFrom(program.Span);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw Errors.CreateException(ErrorCode.InvalidProgram, "The program cannot be read.", inner: e);
        }
    }

    /// <summary>From the engine's thread, which waits if the queue is slow.</summary>
    private void Enqueue(Event jobEvent)
    {
        if (jobEvent.KindCase is not Event.KindOneofCase.State)
            CountSentBytes(jobEvent.CalculateSize(), enforceLimit: jobEvent.KindCase is Event.KindOneofCase.Value or Event.KindOneofCase.Log or Event.KindOneofCase.Local);
        if (!_events.Writer.TryWrite(jobEvent)) _events.Writer.WriteAsync(jobEvent, _cancel.Token).AsTask().GetAwaiter().GetResult();
    }

    /// <summary>
    /// What the job sends back may be no more than its owner may have: events, and the tensors beside them. It is told where a statement
    /// of the program sends; tokens and warnings, which a pass of many owners sends, count with the next one.
    /// </summary>
    /// <exception cref="NdifException">LIMIT_EXCEEDED, which ends the job.</exception>
    private void CountSentBytes(long bytes, bool enforceLimit)
    {
        _sentBytes += bytes;
        if (enforceLimit && _lease.MaxResultBytes is { } maxBytes && _sentBytes > maxBytes)
            throw Errors.CreateException(ErrorCode.LimitExceeded, $"The job sends back more than {maxBytes:N0} bytes, which is the most that your key may have.",
                "Save less: a slice, a mean, a narrower type; log less; or split the experiment.");
    }

    private async Task PublishEventsAsync()
    {
        await foreach (Event next in _events.Reader.ReadAllAsync())
        {
            Event jobEvent = CoalesceTokens(next);
            if (_isLeaseLost) continue;
            if (jobEvent.State?.Usage is { } usage) usage.Phases.AddRange(_phases.Complete(jobEvent.State.Error is { } error ? error.Code.ToString() : "completed"));
            try
            {
                if (!await _backend.Jobs.PublishAsync(_lease, jobEvent)) await CancelForLostLeaseAsync();
            }
            catch (NdifException)
            {
                // the queue cannot be reached: whoever gets the job next starts it again
                await CancelForLostLeaseAsync();
            }
        }
    }

    /// <summary>
    /// New tokens that came while the queue was busy go together, as one event: many rows make more tokens in a step than there is time
    /// for round trips (a publication in Redis took about 1 ms on a busy machine of two cores).
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
        await _cancel.CancelAsync();
    }

    /// <summary>A small tensor travels inside its event, a large one as a blob that the job's owner may read.</summary>
    private Tensor StoreTensor(torch.Tensor tensor)
    {
        long bytes = tensor.numel() * tensor.element_size();
        _resultBytes += bytes;
        if (bytes <= ProgramFormat.MaxInlineTensorBytes) return tensor.ToData().ToProto(); // counted with its event
        CountSentBytes(bytes, enforceLimit: true);
        using torch.Tensor plain = TensorBytes.ToContiguousCpu(tensor);
        BlobRef blob = StoreBlobAsync(plain).GetAwaiter().GetResult();
        return new Tensor { Dtype = (DataType)TensorBytes.FromTorch(plain.dtype), Shape = { plain.shape }, Blob = blob };
    }

    private async Task<BlobRef> StoreBlobAsync(torch.Tensor tensor)
    {
        for (int attempt = 1; ; attempt++)
        {
            BlobRef blob = await _backend.Blobs.PutNewAsync((stream, _) =>
            {
                TensorBytes.CopyTo(tensor, stream);
                return Task.CompletedTask;
            }, _cancel.Token);
            try
            {
                await _backend.Blobs.GrantAsync(blob.Id, _lease.Owner, _lease.JobId, _cancel.Token);
                return blob;
            }
            catch (NdifException e) when (e.Code is ErrorCode.UnknownBlob && attempt < 3)
            {
                // the same bytes were there, and their last owner deleted them in between
            }
        }
    }

    private TensorData GetConstant(uint index)
    {
        Tensor tensor = _plan!.Program.Constants[(int)index];
        return tensor.IsBlob() ? DownloadConstantAsync(tensor).GetAwaiter().GetResult() : TensorData.FromProto(tensor);
    }

    /// <summary>Replaces every reference in an answer by its bytes.</summary>
    private async Task ResolveBlobsAsync(Data data)
    {
        foreach (Tensor tensor in data.BlobTensors()) tensor.Inline = (await DownloadConstantAsync(tensor)).ToProto().Inline;
    }

    private async Task<TensorData> DownloadConstantAsync(Tensor tensor)
    {
        await using Stream? stream = await _backend.Blobs.CanReadAsync(tensor.Blob.Id, _lease.Owner, _cancel.Token)
            ? await _backend.Blobs.OpenAsync(tensor.Blob.Id, _cancel.Token) : null;
        if (stream is null) throw Errors.CreateException(ErrorCode.UnknownBlob, "A constant of the program is no longer on the service.", "Submit the program again; constants are kept for a limited time.");
        byte[] bytes = GC.AllocateUninitializedArray<byte>(checked((int)stream.Length));
        await stream.ReadExactlyAsync(bytes, _cancel.Token);
        return TensorData.FromProto(new Tensor { Dtype = tensor.Dtype, Shape = { tensor.Shape }, Inline = UnsafeByteOperations.UnsafeWrap(bytes) });
    }
}
