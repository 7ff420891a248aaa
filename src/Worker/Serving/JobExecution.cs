using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
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
using TorchSharp;

namespace Ndif.Worker.Serving;

/// <summary>
/// Runs one leased job beside others:
/// 1. <see cref="CompileAsync"/> publishes the RUNNING state and compiles the program.
/// 2. The model thread runs the program. It enqueues events (values, logs, tokens), which a background task publishes in order, so that a
///    client receives a value while the forward pass still runs.
/// 3. <see cref="RenewLeaseAsync"/> renews the lease meanwhile. If the lease is lost, the run is cancelled.
/// 4. <see cref="CompleteAsync"/> waits for the values that are being written, and publishes the remaining events and the outcome,
///    or returns the job to the queue if the worker stops.
/// </summary>
internal sealed class JobExecution : IRunSink, IAsyncDisposable
{
    private static readonly TimeSpan _lastEventsTimeout = TimeSpan.FromSeconds(3);

    /// <summary>How often a job runs that lacks memory because of others, before it fails.</summary>
    private const int MaxMemoryAttempts = 10;

    /// <summary>A program of this size is not compiled at once, because the jobs that are leased after it would wait.</summary>
    private const int LargeProgramBytes = 64 << 10;

    private readonly Lease _lease;
    private readonly JobLeaseClient _leases;
    private readonly LeasedJobs _jobs;
    private readonly QueueBackend _backend;
    private readonly WorkerOptions _options;
    private readonly CancellationTokenSource _cancel, _timeout, _stopWriting;
    private readonly JobEventPublisher _events;
    private readonly JobTensorStore _tensors;
    private readonly LocalCallClient _localCalls;
    private readonly JobPhases _phases;
    private readonly ExecutionTimer _executionTimer;
    private readonly DateTimeOffset _leasedAt;
    private readonly SharedJobMemory? _memory;
    private IDisposable? _reservation;
    private bool _hasLeft;
    private Plan? _plan;
    private JobRun? _run;

    /// <param name="modelReady">When the model was loaded, which may be after the lease was granted.</param>
    public JobExecution(
        Lease lease, DateTimeOffset modelReady, JobLeaseClient leases, LeasedJobs jobs, QueueBackend backend, WorkerOptions options,
        TimeProvider time, CancellationToken stopping)
    {
        (_jobs, _lease, _leases, _backend, _options, _leasedAt) =
            (jobs, lease, leases, backend, options, time.GetUtcNow());
        _phases = new JobPhases(lease, modelReady);
        _memory = jobs.Memory is { } memory ? new SharedJobMemory(memory, lease.Owner) : null;
        TimeLimit = lease.TimeLimit is { } requested && requested < options.WallTime ? requested : options.WallTime;
        _timeout = new CancellationTokenSource();
        _executionTimer = new ExecutionTimer(TimeLimit, _timeout);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(lease.Lost, stopping, _timeout.Token);
        _stopWriting = CancellationTokenSource.CreateLinkedTokenSource(lease.Lost, stopping);
        _events = new JobEventPublisher(lease, backend.Jobs, leases, _phases, options, _cancel, _stopWriting.Token, stopping);
        _tensors = new JobTensorStore(lease, backend.Blobs, _events, jobs.Writers, _cancel, _stopWriting);
        _localCalls =
            new LocalCallClient(lease, backend.Jobs, _events, _tensors, options.LocalCallTimeout, _cancel.Token);
    }

    public Lease Lease => _lease;

    private TimeSpan TimeLimit { get; }

    /// <summary>The run for the engine; null if the program is not valid for the model.</summary>
    public JobRun? Run => _run;

    public Error? Error { get; private set; }

    /// <summary>
    /// 1. Publishes that the job runs, and compiles its program: one of 100,000 nodes takes seconds. One large program of an owner is
    /// compiled at a time. Before that, waits for memory that the job has lacked in its last attempt.
    /// </summary>
    /// <param name="draining">Ends the wait for memory: the job returns to the queue.</param>
    public async Task CompileAsync(HookedLanguageModel model, CancellationToken draining)
    {
        _phases.OnCompileStarted();
        try
        {
            using (var waiting = CancellationTokenSource.CreateLinkedTokenSource(_cancel.Token, draining))
                _reservation = await _jobs.WaitForMemoryAsync(_lease, waiting.Token);
            _phases.OnCompileStarted();
            _events.Enqueue(
                new Event { State = new StateChanged { State = JobState.Running, Attempt = (uint)_lease.Attempt, Worker = _options.Id } });
            if (_lease.Program.Length < LargeProgramBytes) Compile(model);
            else
                await _jobs.Compilers.RunAsync(_lease.Owner,
                    () => OwnerWorkQueues.RunOnThreadAsync(() => Compile(model), _cancel.Token), _cancel.Token);
        }
        catch (Exception e)
        {
            Error = Errors.FromException(e);
            _hasLeft = e is OperationCanceledException && !_cancel.IsCancellationRequested;
        }
        _phases.OnCompileEnded();
    }

    private void Compile(HookedLanguageModel model)
    {
        _executionTimer.Start(sharers: 1);
        try
        {
            _plan = Compiler.Compile(Parse(_lease.Program), model);
            _run = new JobRun(
                _plan, this, GetConstant, _options.JobMemoryBudget, () => _executionTimer.Left, _memory, _cancel.Token)
            {
                Owner = _lease.Owner, Weight = _lease.Weight, Seed = GetSeed(_lease.JobId), ExecutionTimer = _executionTimer,
            };
        }
        finally
        {
            _executionTimer.Stop();
        }
    }

    /// <summary>Called on the model thread when the job begins to run.</summary>
    public void OnRunStarted() => _phases.OnRunStarted();

    /// <summary>Called when the job has ended.</summary>
    public void OnRunEnded() => _phases.OnRunEnded();

    public void OnValueSaved(uint node, string name, object? value, bool isFinal) => _phases.MeasureSave(() =>
    {
        _events.WaitForRoom(_run!);
        (Data data, ValueBlobs? blobs) = _tensors.Store(_run!, node, value, isFinal);
        _events.Enqueue(new Event { Value = new SavedValue { Node = node, Name = name, Data = data } }, blobs);
    });

    public void OnLogged(uint node, string text)
    {
        _events.WaitForRoom(_run!);
        _events.Enqueue(new Event { Log = new LogLine { Text = text, Line = _plan!.LineOf(node) } });
    }

    public void OnWarning(uint node, string module, string message)
    {
        _events.WaitForRoom(_run!);
        _events.Enqueue(new Event { Warning = new Warning { Message = message, Module = module, Line = _plan!.LineOf(node) } });
    }

    public void OnTokenGenerated(NewToken token)
    {
        _events.WaitForRoom(_run!, isToken: true);
        _events.Enqueue(new Event { Token = token });
    }

    public Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) =>
        _localCalls.Invoke(_run!, node, callback, values, timeout);

    /// <summary>3. Renews the lease until the job has ended. A lost lease cancels the run.</summary>
    public async Task RenewLeaseAsync(CancellationToken jobEnded)
    {
        if (await _leases.RenewUntilLostAsync(_lease, jobEnded)) await _events.CancelForLostLeaseAsync();
    }

    /// <summary>
    /// 4. Publishes the remaining events and the outcome. If the worker stops before the job has ended, the job returns to the queue.
    /// </summary>
    public async Task CompleteAsync(CancellationToken stopping)
    {
        _run?.Dispose();
        Error ??= await EndWritingAsync();
        Error? error = Error ?? _run?.Error;
        Usage usage = GetUsage(_executionTimer.Used);
        bool isCancelled = error is { Code: ErrorCode.JobCancelled };
        // A job that was cancelled for another reason than its time limit has no outcome here: it is returned. If its lease was lost, that
        // changes nothing; if it is still valid, the job runs again.
        // Nor has one that fails when its worker stops, which may be the cause.
        // Nor has one that lacks memory only because of others: it runs again when they have ended.
        bool isShortOfMemory = error is { Code: ErrorCode.OutOfMemory, Retryable: true } && _lease.Attempt < MaxMemoryAttempts;
        if (isShortOfMemory) _jobs.OnMemoryShortage(_lease.JobId, _memory!.OwnerShortage);
        bool isReturned =
            _hasLeft || isShortOfMemory || (isCancelled && _lease.Lost.IsCancellationRequested)
            || (error is not null && stopping.IsCancellationRequested);
        if (!isReturned && !_events.IsLeaseLost)
        {
            if (isCancelled && _timeout.IsCancellationRequested)
                Error = error = Errors.Create(ErrorCode.JobTimeout,
                    $"The job ran longer than {TimeLimit.TotalSeconds:0.###} s and was stopped: it has used "
                    + $"{(_executionTimer.Used + _executionTimer.Waited).TotalSeconds:0.##} s of its own, without the time in which other "
                    + "jobs ran.",
                    "Split the work into several jobs, or request a longer time limit.");
            await _events.EnqueueOutcomeAsync(GetOutcome(error, usage));
        }
        await _events.CompleteAsync();
        if (isReturned) await _leases.ReturnAsync(_lease);
    }

    /// <summary>Waits for the values that are being written, and returns the error of one that is not.</summary>
    private async Task<Error?> EndWritingAsync()
    {
        if (_tensors.Written.IsCompletedSuccessfully) return null;
        _executionTimer.StartWaiting(); // counts for the limit
        bool isWritten = await _tensors.EndAsync();
        _executionTimer.Stop();
        if (_tensors.Failure is { } failure) return _plan!.WithLocation(Errors.FromException(failure.Exception), failure.Node);
        return isWritten || _run!.HasFailed ? null : Errors.Create(ErrorCode.JobCancelled, "The run was cancelled.");
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
        await _events.CompleteAsync().WaitAsync(_lastEventsTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Usage usage = GetUsage(TimeLimit - _executionTimer.Waited);
        usage.Phases.AddRange(_phases.Complete(error.Code.ToString()));
        await _backend.Jobs.PublishWhenReachableAsync(_lease, new Event { State = GetOutcome(error, usage) }, CancellationToken.None);
    }

    /// <summary>Revokes the blobs of the values that were not published, when nothing is published any more.</summary>
    public async Task RevokeUnpublishedAsync()
    {
        try
        {
            await _tensors.RevokeUnpublishedAsync().WaitAsync(_lastEventsTimeout);
        }
        catch (Exception e)
        {
            _leases.OnRevocationFailed(e);
        }
    }

    private Usage GetUsage(TimeSpan computed) => new()
    {
        Tokens = (ulong)(_run?.TokenCount ?? 0),
        Passes = (ulong)(_run?.ForwardPassCount ?? 0),
        ReusedLayers = (ulong)(_run?.ReusedLayerCount ?? 0),
        ReusedTokens = (ulong)(_run?.ReusedTokenCount ?? 0),
        ComputeSeconds = computed.TotalSeconds, // not the time in which other jobs ran
        ResultBytes = (ulong)_tensors.ResultBytes,
        QueueSeconds = Math.Max(0, (_leasedAt - _lease.Submitted).TotalSeconds),
    };

    private StateChanged GetOutcome(Error? error, Usage usage) => new()
    {
        State = error is null ? JobState.Completed : JobState.Failed, Error = error is null ? null : ServerPaths.Remove(error),
        Usage = usage, Worker = _options.Id, Attempt = (uint)_lease.Attempt,
    };

    public async ValueTask DisposeAsync()
    {
        _reservation?.Dispose();
        await _events.DisposeAsync();
        await RevokeUnpublishedAsync();
        // a disk may not answer, whatever is cancelled
        if (!_tensors.Written.IsCompleted) _ = _tensors.Written.ContinueWith(_ => _run?.Dispose(), TaskScheduler.Default);
        else _run?.Dispose();
        _cancel.Dispose();
        _timeout.Dispose();
        _stopWriting.Dispose();
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

    private TensorData GetConstant(uint index)
    {
        Tensor tensor = _plan!.Program.Constants[(int)index];
        return tensor.IsBlob() ? _tensors.Download(_run!, tensor, canLeave: true) : TensorData.FromProto(tensor);
    }
}
