using System.Collections.Concurrent;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Running;

namespace Ndif.Remote;

/// <summary>Calls a service over gRPC. Services at the same address share a channel; each call carries the API key.</summary>
internal sealed class RemoteService : IProgramRunner
{
    private static readonly ConcurrentDictionary<(Uri Host, string? CaFile), RemoteChannel> _channels = new();

    private static readonly TimeSpan _cancelTimeout = TimeSpan.FromSeconds(5);

    private readonly RemoteChannel _channel;
    private readonly string? _key;
    private readonly ModelDescription? _model;

    private SubmissionPacer Pacer => _channel.Pacers.GetOrAdd(_key ?? "", _ => new SubmissionPacer());

    private RemoteService(RemoteChannel channel, string? key, ModelDescription? model) => (_channel, _key, _model) = (channel, key, model);

    /// <summary>The service of a backend. What the backend does not set comes from <see cref="NdifConfig"/>.</summary>
    /// <param name="model">The model that the programs run on, to validate them; null if it is not known.</param>
    public static RemoteService For(Backend? backend, ModelDescription? model = null) => new(
        _channels.GetOrAdd((backend?.Host ?? NdifConfig.Host, backend?.CaFile ?? NdifConfig.CaFile),
            to => new RemoteChannel(to.Host, to.CaFile)),
        backend?.ApiKey ?? NdifConfig.ApiKey, model);

    /// <summary>
    /// Submits a program and reads its events to the end, on one stream. If the connection is lost after the job was accepted, the same
    /// submission is sent again. The client chose the job's id, so it is the same job; events that were received before are skipped.
    /// </summary>
    public async Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default)
    {
        string id = client.ChosenJobId ?? JobIds.New();
        client.OnSubmitting(id);
        program = await PrepareAsync(program, cancellationToken);
        var submission = new RunRequest { Submit = new SubmitRequest { Program = program, JobId = id } };
        var cursor = new EventStreamCursor();
        try
        {
            await Pacer.RunAsync(SubmitAndReadAsync, warning => Warn(client, warning), cancellationToken);
        }
        catch (OperationCanceledException) when (client.ChosenJobId is not null && cancellationToken.IsCancellationRequested)
        {
            // the end of the stream does not cancel this job
            using var timeout = new CancellationTokenSource(_cancelTimeout);
            try
            {
                await CancelAsync(id, timeout.Token);
            }
            catch (Exception e) when (e is NdifException or OperationCanceledException)
            {
                Warn(client, $"The job {id} could not be cancelled: {e.Message}");
            }
            throw;
        }

        async Task SubmitAndReadAsync(Action onAccepted)
        {
            while (true)
            {
                try
                {
                    await TranslateErrorsAsync(() => RunOnStreamAsync(submission, client, cursor, onAccepted, cancellationToken),
                        cancellationToken);
                    return;
                }
                catch (NdifException lost) when (cursor.CanRetryAfter(lost))
                {
                    await cursor.BackOffAsync(cancellationToken);
                }
            }
        }
    }

    private static void Warn(IRunClient client, string message) =>
        client.OnEvent(new Event { Warning = new Warning { Message = message } });

    /// <summary>Validates a program, and then uploads its large constants. Nothing is uploaded for an invalid program.</summary>
    /// <exception cref="NdifException">The program is not valid.</exception>
    private Task<Protocol.Program> PrepareAsync(Protocol.Program program, CancellationToken cancellationToken) =>
        ProgramValidator.Validate(program, _model, ProgramValidator.LocalLimits) is { } error ? throw Errors.ToException(error)
            : ConstantUploader.UploadLargeConstantsAsync(this, program, cancellationToken);

    /// <param name="onAccepted">Called with every event, the first of which shows that the service has accepted the job.</param>
    private async Task RunOnStreamAsync(RunRequest submission, IRunClient client, EventStreamCursor cursor, Action onAccepted,
        CancellationToken cancellationToken)
    {
        using AsyncDuplexStreamingCall<RunRequest, Event> call = Inference.Run(CreateHeaders(), cancellationToken: cancellationToken);
        try
        {
            await call.RequestStream.WriteAsync(submission, cancellationToken);
            if (client.ChosenJobId is not null)
                await call.RequestStream.WriteAsync(new RunRequest { Detach = new Nothing() }, cancellationToken);
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            // The call was refused or the connection was lost. Reading the responses below throws the reason.
        }
        if (cursor.LastReply is not null) await AnswerAsync(cursor.LastReply);
        await using var events = new TensorFetchingEventReader(this, call.ResponseStream, cursor, cancellationToken);
        while (await events.ReadNextAsync() is { } jobEvent)
        {
            onAccepted();
            client.OnEvent(jobEvent);
            cursor.Advance(jobEvent);
            if (jobEvent.KindCase is Event.KindOneofCase.Restart) cursor.LastReply = null; // of an attempt that has ended
            if (jobEvent.KindCase is Event.KindOneofCase.Local)
            {
                cursor.LastReply = await client.AnswerAsync(jobEvent.Local, cancellationToken);
                if (cursor.LastReply.Value is { } value) await ConstantUploader.UploadLargeTensorsAsync(this, value, cancellationToken);
                await AnswerAsync(cursor.LastReply);
            }
            if (!cursor.IsCompleted) continue;
            await call.RequestStream.CompleteAsync();
            JobCompletion.ThrowIfUnsuccessful(jobEvent.State);
            return;
        }
        throw StreamEndedEarly();

        async Task AnswerAsync(LocalReply answer)
        {
            try
            {
                await call.RequestStream.WriteAsync(new RunRequest { Local = answer }, cancellationToken);
            }
            catch (Exception e) when (IsStreamFailure(e))
            {
                // The job has ended or the connection was lost. The next read of the events shows which.
            }
        }
    }

    /// <summary>True for the exceptions of a write to a stream that has ended, for any reason.</summary>
    private static bool IsStreamFailure(Exception e) => e is RpcException or HttpRequestException or IOException
        or InvalidOperationException;

    /// <summary>Submits a program and returns when the service has accepted it.</summary>
    /// <param name="client">Receives a warning if the service accepts it only after some time.</param>
    public async Task SubmitAsync(Protocol.Program program, string jobId, IRunClient client, CancellationToken cancellationToken)
    {
        program = await TranslateErrorsAsync(() => PrepareAsync(program, cancellationToken), cancellationToken);
        await Pacer.RunAsync(_ => TranslateErrorsAsync(async () =>
            await Inference.SubmitAsync(new SubmitRequest { Program = program, JobId = jobId }, CreateHeaders(),
                cancellationToken: cancellationToken), cancellationToken), warning => Warn(client, warning), cancellationToken);
    }

    /// <summary>
    /// The events of a job, which the service has accepted, from a sequence number to the end of the job, with their large tensors.
    /// </summary>
    public async IAsyncEnumerable<Event> WatchAsync(string jobId, ulong from,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var cursor = new EventStreamCursor { NextSequence = Math.Max(1, from), IsAccepted = true };
        while (true)
        {
            using AsyncServerStreamingCall<Event> call =
                Inference.Watch(new WatchRequest { JobId = jobId, FromSequence = cursor.NextSequence }, CreateHeaders(),
                    cancellationToken: cancellationToken);
            await using var events = new TensorFetchingEventReader(this, call.ResponseStream, cursor, cancellationToken);
            while (await ReadNextAsync(events, cursor, cancellationToken) is { } jobEvent)
            {
                cursor.Advance(jobEvent);
                yield return jobEvent;
            }
            if (cursor.IsCompleted) yield break;
            await cursor.BackOffAsync(cancellationToken);
        }
    }

    /// <summary>The next event; null at the end of the job, and if the connection was lost and another attempt is worthwhile.</summary>
    private async Task<Event?> ReadNextAsync(TensorFetchingEventReader events, EventStreamCursor cursor,
        CancellationToken cancellationToken)
    {
        if (cursor.IsCompleted) return null;
        try
        {
            Event? jobEvent = await TranslateErrorsAsync(events.ReadNextAsync, cancellationToken);
            cursor.IsCompleted |= jobEvent is null; // the watch began behind the job's last event
            return jobEvent;
        }
        catch (NdifException lost) when (cursor.CanRetryAfter(lost))
        {
            return null;
        }
    }

    public Task<JobInfo> CancelAsync(string jobId, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
            await Inference.CancelAsync(new CancelRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken);

    public Task<JobInfo> GetJobAsync(string jobId, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
            await Inference.GetJobAsync(new GetJobRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken);

    public Task<IReadOnlyList<JobInfo>> ListJobsAsync(int limit, bool activeOnly, CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<JobInfo>>(async () =>
        (await Inference.ListJobsAsync(new ListJobsRequest { Limit = (uint)limit, ActiveOnly = activeOnly }, CreateHeaders(),
            cancellationToken: cancellationToken)).Jobs, cancellationToken);

    public Task<DeleteJobReply> DeleteAsync(string jobId, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
            await Inference.DeleteJobAsync(new DeleteJobRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken);

    /// <summary>The usage of the caller's key; for an administrator also of another key, or of all keys.</summary>
    public Task<GetUsageReply> UsageAsync(GetUsageRequest request, bool asAdmin, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
        asAdmin ? await _channel.Admin.GetUsageAsync(request, CreateHeaders(), cancellationToken: cancellationToken)
            : await Inference.GetUsageAsync(request, CreateHeaders(), cancellationToken: cancellationToken), cancellationToken);

    public Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<DeadLetter>>(async () =>
        (await _channel.Admin.ListDeadLettersAsync(new ListDeadLettersRequest { Limit = (uint)limit }, CreateHeaders(),
            cancellationToken: cancellationToken)).Letters, cancellationToken);

    public Task<IReadOnlyList<JobInfo>> ListAllJobsAsync(ListAllJobsRequest request, CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<JobInfo>>(async () =>
        (await _channel.Admin.ListJobsAsync(request, CreateHeaders(), cancellationToken: cancellationToken)).Jobs, cancellationToken);

    public Task<JobInfo> GetAnyJobAsync(string jobId, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await _channel.Admin.GetJobAsync(new GetJobRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken),
        cancellationToken);

    public Task<JobInfo> CancelAnyJobAsync(CancelJobRequest request, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
        await _channel.Admin.CancelJobAsync(request, CreateHeaders(), cancellationToken: cancellationToken), cancellationToken);

    public Task<string> RequeueAsync(string jobId, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        (await _channel.Admin.RequeueAsync(new RequeueRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken))
        .JobId, cancellationToken);

    public Task<CreateKeyReply> CreateKeyAsync(CreateKeyRequest request, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
            await _channel.Admin.CreateKeyAsync(request, CreateHeaders(), cancellationToken: cancellationToken), cancellationToken);

    public Task<IReadOnlyList<KeyInfo>> KeysAsync(CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<KeyInfo>>(async () =>
        (await _channel.Admin.ListKeysAsync(new ListKeysRequest(), CreateHeaders(), cancellationToken: cancellationToken)).Keys,
        cancellationToken);

    public Task<KeyInfo> RevokeKeyAsync(string id, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await _channel.Admin.RevokeKeyAsync(new RevokeKeyRequest { Id = id }, CreateHeaders(), cancellationToken: cancellationToken),
        cancellationToken);

    public Task<IReadOnlyList<Deployment>> DeploymentsAsync(CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<Deployment>>(async () =>
        (await _channel.Admin.ListDeploymentsAsync(new ListDeploymentsRequest(), CreateHeaders(), cancellationToken: cancellationToken))
        .Deployments, cancellationToken);

    public Task<ModelStatus> DeployAsync(DeployRequest request, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await _channel.Admin.DeployAsync(request, CreateHeaders(), cancellationToken: cancellationToken), cancellationToken);

    public Task<ModelStatus> EvictAsync(EvictRequest request, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await _channel.Admin.EvictAsync(request, CreateHeaders(), cancellationToken: cancellationToken), cancellationToken);

    public Task<WorkerStatus> DrainAsync(string worker, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await _channel.Admin.DrainAsync(new DrainRequest { Worker = worker }, CreateHeaders(), cancellationToken: cancellationToken),
        cancellationToken);

    /// <summary>The service's estimate of what the program costs. Nothing is queued.</summary>
    public Task<Estimate> EstimateAsync(Protocol.Program program, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
    {
        program = await PrepareAsync(program, cancellationToken);
        return (await Inference.SubmitAsync(new SubmitRequest { Program = program, DryRun = true }, CreateHeaders(),
            cancellationToken: cancellationToken)).Estimate;
    }, cancellationToken);

    /// <summary>Publishes edits. Their large constants are uploaded first.</summary>
    public Task<EditsInfo> PublishEditsAsync(PublishEditsRequest request, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
        {
            request.Program = await PrepareAsync(request.Program, cancellationToken);
            return await Inference.PublishEditsAsync(request, CreateHeaders(), cancellationToken: cancellationToken);
        }, cancellationToken);

    public Task<IReadOnlyList<EditsInfo>> ListEditsAsync(CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<EditsInfo>>(async () =>
            (await Inference.ListEditsAsync(new ListEditsRequest(), CreateHeaders(), cancellationToken: cancellationToken)).Edits,
            cancellationToken);

    public Task<EditsInfo> GetEditsAsync(string name, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await Inference.GetEditsAsync(new GetEditsRequest { Name = name }, CreateHeaders(), cancellationToken: cancellationToken),
        cancellationToken);

    public Task<EditsInfo> DeleteEditsAsync(string name, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        await Inference.DeleteEditsAsync(new DeleteEditsRequest { Name = name }, CreateHeaders(), cancellationToken: cancellationToken),
        cancellationToken);

    public Task<ServiceStatus> StatusAsync(CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
            await Inference.GetStatusAsync(new GetStatusRequest(), CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken);

    public ModelDescription Describe(string model, string revision)
    {
        try
        {
            return Inference.DescribeModel(new DescribeModelRequest { Id = model, Revision = revision, Files = true }, CreateHeaders());
        }
        catch (RpcException e)
        {
            throw RpcExceptionTranslator.Translate(e, _channel.Host);
        }
    }

    internal Inference.InferenceClient Inference => _channel.Inference;

    internal HttpClient Http => _channel.Http;

    internal Uri Host => _channel.Host;

    /// <summary>The endpoint for downloads of large tensors. The capabilities of the service are fetched once.</summary>
    internal async Task<BlobDownloadEndpoint> GetBlobEndpointAsync(CancellationToken cancellationToken) =>
        _channel.BlobEndpoint ??= BlobDownloadEndpoint.Select(
        _channel.Host,
        await TranslateErrorsAsync(async () =>
            await Inference.GetCapabilitiesAsync(new GetCapabilitiesRequest(), CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken));

    /// <summary>The largest message that the service reads. It is fetched once.</summary>
    internal async Task<ulong> GetMaxMessageBytesAsync(CancellationToken cancellationToken) =>
        _channel.MaxMessageBytes ??= (await TranslateErrorsAsync(async () =>
            await Inference.GetCapabilitiesAsync(new GetCapabilitiesRequest(), CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken)).Limits?.MessageBytes is > 0 and var limit ? limit : ulong.MaxValue;

    /// <summary>Downloads from the address of the gRPC calls from now on; returns false if that was already so.</summary>
    internal bool TryFallBackToGateway(BlobDownloadEndpoint endpoint)
    {
        if (endpoint.Address == _channel.Host) return false;
        _channel.BlobEndpoint = BlobDownloadEndpoint.ForGateway(_channel.Host);
        return true;
    }

    internal Metadata CreateHeaders() => _key is { Length: > 0 }
        ? new Metadata { { "authorization", $"Bearer {_key}" } }
        : [];

    internal AuthenticationHeaderValue? Authorization => _key is { Length: > 0 } ? new AuthenticationHeaderValue("Bearer", _key) : null;

    internal async Task TranslateErrorsAsync(Func<Task> call, CancellationToken cancellationToken) =>
        await TranslateErrorsAsync(async () => { await call(); return true; }, cancellationToken);

    internal async Task<T> TranslateErrorsAsync<T>(Func<Task<T>> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call();
        }
        catch (RpcException e)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw RpcExceptionTranslator.Translate(e, _channel.Host);
        }
    }

    private Exception StreamEndedEarly() => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable, Retryable = true,
        Message = $"The service at {_channel.Host} ended the stream before the job's end.", Hint = "Try again, or look at `ndif status`.",
    });
}

/// <summary>Converts the state of a job to a result or an exception.</summary>
internal static class JobCompletion
{
    /// <summary>Returns true for a completed job, false for one that has not ended.</summary>
    /// <exception cref="NdifException">The job failed or was cancelled.</exception>
    public static bool ThrowIfUnsuccessful(StateChanged state) => state.State switch
    {
        JobState.Completed => true,
        JobState.Failed => throw Errors.ToException(state.Error ?? Errors.Create(ErrorCode.Internal, "The job failed.")),
        JobState.Cancelled => throw Errors.ToException(state.Error is { Code: not ErrorCode.Unspecified } error ? error
            : Errors.Create(ErrorCode.JobCancelled, "The job was cancelled.")),
        _ => false,
    };
}
