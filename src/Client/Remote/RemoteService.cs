using System.Collections.Concurrent;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Running;

namespace Ndif.Remote;

/// <summary>A service over gRPC: one channel per address, the key with every call.</summary>
internal sealed class RemoteService : IProgramRunner
{
    private static readonly ConcurrentDictionary<(Uri Host, string? CaFile), RemoteChannel> _channels = new();

    private readonly RemoteChannel _channel;
    private readonly string? _key;
    private readonly ModelDescription? _model;

    private RemoteService(RemoteChannel channel, string? key, ModelDescription? model) => (_channel, _key, _model) = (channel, key, model);

    /// <summary>The service a backend means; the configured one if it does not say.</summary>
    /// <param name="model">The model whose programs are to be run; null where it is not known.</param>
    public static RemoteService For(Backend? backend, ModelDescription? model = null) => new(
        _channels.GetOrAdd((backend?.Host ?? NdifConfig.Host, backend?.CaFile ?? NdifConfig.CaFile),
            to => new RemoteChannel(to.Host, to.CaFile)),
        backend?.ApiKey ?? NdifConfig.ApiKey, model);

    /// <summary>
    /// Runs to the end on one stream. If the gateway is lost after it has taken the job, the same submission (the id is ours, so it
    /// is the same job) goes to the next one, and what was told before is passed over.
    /// </summary>
    public async Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default)
    {
        program = await PrepareAsync(program, cancellationToken);
        var submission = new RunRequest { Submit = new SubmitRequest { Program = program, JobId = Guid.CreateVersion7().ToString("N") } };
        var contact = new EventStreamCursor();
        while (true)
        {
            try
            {
                await TranslateErrorsAsync(() => RunOnStreamAsync(submission, client, contact, cancellationToken), cancellationToken);
                return;
            }
            catch (NdifException lost) when (contact.CanRetryAfter(lost))
            {
                await contact.BackOffAsync(cancellationToken);
            }
        }
    }

    /// <summary>Validates a program, so that one that would be refused uploads nothing, and then uploads its large constants.</summary>
    /// <exception cref="NdifException">The program is not valid.</exception>
    private Task<Protocol.Program> PrepareAsync(Protocol.Program program, CancellationToken cancellationToken) =>
        ProgramValidator.Validate(program, _model, ProgramValidator.LocalLimits) is { } error ? throw Errors.ToException(error)
            : ConstantUploader.UploadLargeConstantsAsync(this, program, cancellationToken);

    private async Task RunOnStreamAsync(RunRequest submission, IRunClient client, EventStreamCursor cursor,
        CancellationToken cancellationToken)
    {
        using AsyncDuplexStreamingCall<RunRequest, Event> call = Inference.Run(CreateHeaders(), cancellationToken: cancellationToken);
        try
        {
            await call.RequestStream.WriteAsync(submission, cancellationToken);
        }
        catch (Exception e) when (IsStreamFailure(e))
        {
            // refused, or broken, before it was read to its end: the answer, below, says why
        }
        if (cursor.LastReply is not null) await AnswerAsync(cursor.LastReply);
        await using var events = new TensorFetchingEventReader(this, call.ResponseStream, cursor, cancellationToken);
        while (await events.ReadNextAsync() is { } happening)
        {
            client.OnEvent(happening);
            cursor.Advance(happening);
            if (happening.KindCase is Event.KindOneofCase.Local)
            {
                cursor.LastReply = await client.AnswerAsync(happening.Local, cancellationToken);
                if (cursor.LastReply.Value is { } value) await ConstantUploader.UploadLargeTensorsAsync(this, value, cancellationToken);
                await AnswerAsync(cursor.LastReply);
            }
            if (!cursor.IsCompleted) continue;
            await call.RequestStream.CompleteAsync();
            JobCompletion.ThrowIfUnsuccessful(happening.State);
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
                // too late: the job has ended, or the gateway is lost; the events say which
            }
        }
    }

    /// <summary>What a write throws whose stream is over: of the call, of the connection, or of its being made.</summary>
    private static bool IsStreamFailure(Exception e) => e is RpcException or HttpRequestException or IOException
        or InvalidOperationException;

    public Task<JobInfo> SubmitAsync(Protocol.Program program, string jobId, CancellationToken cancellationToken) =>
        TranslateErrorsAsync(async () =>
    {
        program = await PrepareAsync(program, cancellationToken);
        SubmitReply reply =
            await Inference.SubmitAsync(new SubmitRequest { Program = program, JobId = jobId }, CreateHeaders(),
                cancellationToken: cancellationToken);
        return reply.Job;
    }, cancellationToken);

    /// <summary>Events of a job from a sequence number on, large tensors fetched, to the end of the job.</summary>
    public async IAsyncEnumerable<Event> WatchAsync(string jobId, ulong from, [System.Runtime.CompilerServices.EnumeratorCancellation]
    CancellationToken cancellationToken)
    {
        var contact = new EventStreamCursor { NextSequence = Math.Max(1, from) };
        while (true)
        {
            using AsyncServerStreamingCall<Event> call =
                Inference.Watch(new WatchRequest { JobId = jobId, FromSequence = contact.NextSequence }, CreateHeaders(),
                    cancellationToken: cancellationToken);
            await using var events = new TensorFetchingEventReader(this, call.ResponseStream, contact, cancellationToken);
            while (await ReadNextAsync(events, contact, cancellationToken) is { } happening)
            {
                contact.Advance(happening);
                yield return happening;
            }
            if (contact.IsCompleted) yield break;
            await contact.BackOffAsync(cancellationToken);
        }
    }

    /// <summary>The next event; null at the job's end, and where the gateway was lost and may be back soon.</summary>
    private async Task<Event?> ReadNextAsync(TensorFetchingEventReader events, EventStreamCursor cursor,
        CancellationToken cancellationToken)
    {
        if (cursor.IsCompleted) return null;
        try
        {
            Event? happening = await TranslateErrorsAsync(events.ReadNextAsync, cancellationToken);
            cursor.IsCompleted |= happening is null; // asked for events from beyond the job's last one
            return happening;
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

    /// <summary>The caller's own usage, or as an administrator any key's, or with "" everybody's.</summary>
    public Task<IReadOnlyList<UsageRow>> UsageAsync(GetUsageRequest request, bool asAdmin, CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<UsageRow>>(async () =>
        (asAdmin ? await _channel.Admin.GetUsageAsync(request, CreateHeaders(), cancellationToken: cancellationToken)
            : await Inference.GetUsageAsync(request, CreateHeaders(), cancellationToken: cancellationToken)).Rows, cancellationToken);

    public Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken) =>
        TranslateErrorsAsync<IReadOnlyList<DeadLetter>>(async () =>
        (await _channel.Admin.ListDeadLettersAsync(new ListDeadLettersRequest { Limit = (uint)limit }, CreateHeaders(),
            cancellationToken: cancellationToken)).Letters, cancellationToken);

    public Task<string> RequeueAsync(string jobId, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
        (await _channel.Admin.RequeueAsync(new RequeueRequest { JobId = jobId }, CreateHeaders(), cancellationToken: cancellationToken))
        .JobId, cancellationToken);

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

    /// <summary>What the service thinks the program costs; nothing is queued.</summary>
    public Task<Estimate> EstimateAsync(Protocol.Program program, CancellationToken cancellationToken) => TranslateErrorsAsync(async () =>
    {
        program = await PrepareAsync(program, cancellationToken);
        return (await Inference.SubmitAsync(new SubmitRequest { Program = program, DryRun = true }, CreateHeaders(),
            cancellationToken: cancellationToken)).Estimate;
    }, cancellationToken);

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

    /// <summary>Where this service gives large tensors; asked for once.</summary>
    internal async Task<BlobDownloadEndpoint> GetBlobEndpointAsync(CancellationToken cancellationToken) =>
        _channel.BlobEndpoint ??= BlobDownloadEndpoint.Select(
        _channel.Host,
        await TranslateErrorsAsync(async () =>
            await Inference.GetCapabilitiesAsync(new GetCapabilitiesRequest(), CreateHeaders(), cancellationToken: cancellationToken),
            cancellationToken));

    /// <summary>Takes the connection of all other calls from now on; false if it was that one already.</summary>
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

/// <summary>What an end state means to who waits for the job.</summary>
internal static class JobCompletion
{
    /// <summary>True if the job completed; false if it goes on.</summary>
    /// <exception cref="NdifException">It failed or was cancelled.</exception>
    public static bool ThrowIfUnsuccessful(StateChanged state) => state.State switch
    {
        JobState.Completed => true,
        JobState.Failed => throw Errors.ToException(state.Error ?? Errors.Create(ErrorCode.Internal, "The job failed.")),
        JobState.Cancelled => throw Errors.ToException(state.Error is { Code: not ErrorCode.Unspecified } error ? error
            : Errors.Create(ErrorCode.JobCancelled, "The job was cancelled.")),
        _ => false,
    };
}
