using System.Collections.Concurrent;
using System.Net.Http.Headers;
using Grpc.Core;
using Grpc.Net.Client;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif.Remote;

/// <summary>A service over gRPC: one channel per address, the key with every call.</summary>
internal sealed class RemoteService : IProgramRunner
{
    private static readonly ConcurrentDictionary<(Uri Host, string? CaFile), RemoteChannel> s_channels = new();

    private readonly RemoteChannel _channel;
    private readonly string? _key;

    private RemoteService(RemoteChannel channel, string? key) => (_channel, _key) = (channel, key);

    /// <summary>The service a backend means; the configured one if it does not say.</summary>
    public static RemoteService For(Backend? backend) =>
        new(s_channels.GetOrAdd((backend?.Host ?? NdifConfig.Host, backend?.CaFile ?? NdifConfig.CaFile), to => new RemoteChannel(to.Host, to.CaFile)), backend?.ApiKey ?? NdifConfig.ApiKey);

    /// <summary>
    /// Runs to the end on one stream. If the gateway is lost after it has taken the job, the same submission (the id is ours, so it
    /// is the same job) goes to the next one, and what was told before is passed over.
    /// </summary>
    public async Task RunAsync(Protocol.Program program, IRunClient client, CancellationToken cancellationToken = default)
    {
        program = await ConstantUpload.SendAsync(this, program, cancellationToken);
        var submission = new RunRequest { Submit = new SubmitRequest { Program = program, JobId = Guid.CreateVersion7().ToString("N") } };
        var contact = new Contact();
        while (true)
        {
            try
            {
                await GuardAsync(() => FollowAsync(submission, client, contact, cancellationToken), cancellationToken);
                return;
            }
            catch (NdifException lost) when (contact.MayReturnAfter(lost))
            {
                await contact.PauseAsync(cancellationToken);
            }
        }
    }

    private async Task FollowAsync(RunRequest submission, IRunClient client, Contact contact, CancellationToken cancellationToken)
    {
        using AsyncDuplexStreamingCall<RunRequest, Event> call = Calls.Run(Headers(), cancellationToken: cancellationToken);
        try
        {
            await call.RequestStream.WriteAsync(submission, cancellationToken);
        }
        catch (Exception e) when (IsOfTheStream(e))
        {
            // refused, or broken, before it was read to its end: the answer, below, says why
        }
        if (contact.Answer is not null) await AnswerAsync(contact.Answer);
        await using var events = new FilledEvents(this, call.ResponseStream, contact, cancellationToken);
        while (await events.NextAsync() is { } happening)
        {
            client.Happened(happening);
            contact.Heard(happening);
            if (happening.KindCase is Event.KindOneofCase.Local)
            {
                contact.Answer = await client.AnswerAsync(happening.Local, cancellationToken);
                if (contact.Answer.Value is { } value) await ConstantUpload.ReplaceAsync(this, value, cancellationToken);
                await AnswerAsync(contact.Answer);
            }
            if (!contact.IsOver) continue;
            await call.RequestStream.CompleteAsync();
            JobEnd.Reached(happening.State);
            return;
        }
        throw EndedEarly();

        async Task AnswerAsync(LocalReply answer)
        {
            try
            {
                await call.RequestStream.WriteAsync(new RunRequest { Local = answer }, cancellationToken);
            }
            catch (Exception e) when (IsOfTheStream(e))
            {
                // too late: the job has ended, or the gateway is lost; the events say which
            }
        }
    }

    /// <summary>What a write throws whose stream is over: of the call, of the connection, or of its being made.</summary>
    private static bool IsOfTheStream(Exception e) => e is RpcException or HttpRequestException or IOException or InvalidOperationException;

    public Task<JobInfo> SubmitAsync(Protocol.Program program, string jobId, CancellationToken cancellationToken) => GuardAsync(async () =>
    {
        program = await ConstantUpload.SendAsync(this, program, cancellationToken);
        SubmitReply reply = await Calls.SubmitAsync(new SubmitRequest { Program = program, JobId = jobId }, Headers(), cancellationToken: cancellationToken);
        return reply.Job;
    }, cancellationToken);

    /// <summary>Events of a job from a sequence number on, large tensors fetched, to the end of the job.</summary>
    public async IAsyncEnumerable<Event> WatchAsync(string jobId, ulong from, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var contact = new Contact { Next = Math.Max(1, from) };
        while (true)
        {
            using AsyncServerStreamingCall<Event> call = Calls.Watch(new WatchRequest { JobId = jobId, FromSequence = contact.Next }, Headers(), cancellationToken: cancellationToken);
            await using var events = new FilledEvents(this, call.ResponseStream, contact, cancellationToken);
            while (await NextAsync(events, contact, cancellationToken) is { } happening)
            {
                contact.Heard(happening);
                yield return happening;
            }
            if (contact.IsOver) yield break;
            await contact.PauseAsync(cancellationToken);
        }
    }

    /// <summary>The next event; null at the job's end, and where the gateway was lost and may be back soon.</summary>
    private async Task<Event?> NextAsync(FilledEvents events, Contact contact, CancellationToken cancellationToken)
    {
        if (contact.IsOver) return null;
        try
        {
            Event? happening = await GuardAsync(events.NextAsync, cancellationToken);
            contact.IsOver |= happening is null; // asked for events from beyond the job's last one
            return happening;
        }
        catch (NdifException lost) when (contact.MayReturnAfter(lost))
        {
            return null;
        }
    }

    public Task<JobInfo> CancelAsync(string jobId, CancellationToken cancellationToken) =>
        GuardAsync(async () => await Calls.CancelAsync(new CancelRequest { JobId = jobId }, Headers(), cancellationToken: cancellationToken), cancellationToken);

    public Task<JobInfo> GetJobAsync(string jobId, CancellationToken cancellationToken) =>
        GuardAsync(async () => await Calls.GetJobAsync(new GetJobRequest { JobId = jobId }, Headers(), cancellationToken: cancellationToken), cancellationToken);

    public Task<IReadOnlyList<JobInfo>> ListJobsAsync(int limit, bool activeOnly, CancellationToken cancellationToken) => GuardAsync<IReadOnlyList<JobInfo>>(async () =>
        (await Calls.ListJobsAsync(new ListJobsRequest { Limit = (uint)limit, ActiveOnly = activeOnly }, Headers(), cancellationToken: cancellationToken)).Jobs, cancellationToken);

    public Task<DeleteJobReply> DeleteAsync(string jobId, CancellationToken cancellationToken) =>
        GuardAsync(async () => await Calls.DeleteJobAsync(new DeleteJobRequest { JobId = jobId }, Headers(), cancellationToken: cancellationToken), cancellationToken);

    /// <summary>The caller's own usage, or as an administrator any key's, or with "" everybody's.</summary>
    public Task<IReadOnlyList<UsageRow>> UsageAsync(GetUsageRequest request, bool asAdmin, CancellationToken cancellationToken) => GuardAsync<IReadOnlyList<UsageRow>>(async () =>
        (asAdmin ? await _channel.Admin.GetUsageAsync(request, Headers(), cancellationToken: cancellationToken)
            : await Calls.GetUsageAsync(request, Headers(), cancellationToken: cancellationToken)).Rows, cancellationToken);

    public Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(int limit, CancellationToken cancellationToken) => GuardAsync<IReadOnlyList<DeadLetter>>(async () =>
        (await _channel.Admin.ListDeadLettersAsync(new ListDeadLettersRequest { Limit = (uint)limit }, Headers(), cancellationToken: cancellationToken)).Letters, cancellationToken);

    public Task<string> RequeueAsync(string jobId, CancellationToken cancellationToken) => GuardAsync(async () =>
        (await _channel.Admin.RequeueAsync(new RequeueRequest { JobId = jobId }, Headers(), cancellationToken: cancellationToken)).JobId, cancellationToken);

    public Task<IReadOnlyList<Deployment>> DeploymentsAsync(CancellationToken cancellationToken) => GuardAsync<IReadOnlyList<Deployment>>(async () =>
        (await _channel.Admin.ListDeploymentsAsync(new ListDeploymentsRequest(), Headers(), cancellationToken: cancellationToken)).Deployments, cancellationToken);

    public Task<ModelStatus> DeployAsync(DeployRequest request, CancellationToken cancellationToken) => GuardAsync(async () =>
        await _channel.Admin.DeployAsync(request, Headers(), cancellationToken: cancellationToken), cancellationToken);

    public Task<ModelStatus> EvictAsync(EvictRequest request, CancellationToken cancellationToken) => GuardAsync(async () =>
        await _channel.Admin.EvictAsync(request, Headers(), cancellationToken: cancellationToken), cancellationToken);

    public Task<WorkerStatus> DrainAsync(string worker, CancellationToken cancellationToken) => GuardAsync(async () =>
        await _channel.Admin.DrainAsync(new DrainRequest { Worker = worker }, Headers(), cancellationToken: cancellationToken), cancellationToken);

    /// <summary>What the service thinks the program costs; nothing is queued.</summary>
    public Task<Estimate> EstimateAsync(Protocol.Program program, CancellationToken cancellationToken) => GuardAsync(async () =>
    {
        program = await ConstantUpload.SendAsync(this, program, cancellationToken);
        return (await Calls.SubmitAsync(new SubmitRequest { Program = program, DryRun = true }, Headers(), cancellationToken: cancellationToken)).Estimate;
    }, cancellationToken);

    public Task<ServiceStatus> StatusAsync(CancellationToken cancellationToken) =>
        GuardAsync(async () => await Calls.GetStatusAsync(new GetStatusRequest(), Headers(), cancellationToken: cancellationToken), cancellationToken);

    public ModelDescription Describe(string model, string revision)
    {
        try
        {
            return Calls.DescribeModel(new DescribeModelRequest { Id = model, Revision = revision, Files = true }, Headers());
        }
        catch (RpcException e)
        {
            throw RemoteErrors.Translate(e, _channel.Host);
        }
    }

    internal Inference.InferenceClient Calls => _channel.Inference;

    internal HttpClient Http => _channel.Http;

    internal Uri Host => _channel.Host;

    /// <summary>Where this service gives large tensors; asked for once.</summary>
    internal async Task<BlobRoute> RouteAsync(CancellationToken cancellationToken) => _channel.Route ??= BlobRoute.Of(
        _channel.Host, await GuardAsync(async () => await Calls.GetCapabilitiesAsync(new GetCapabilitiesRequest(), Headers(), cancellationToken: cancellationToken), cancellationToken));

    /// <summary>Takes the connection of all other calls from now on; false if it was that one already.</summary>
    internal bool Leave(BlobRoute route)
    {
        if (route.Address == _channel.Host) return false;
        _channel.Route = BlobRoute.Shared(_channel.Host);
        return true;
    }

    internal Metadata Headers() => _key is { Length: > 0 }
        ? new Metadata { { "authorization", $"Bearer {_key}" } }
        : [];

    internal AuthenticationHeaderValue? Authorization => _key is { Length: > 0 } ? new AuthenticationHeaderValue("Bearer", _key) : null;

    internal async Task GuardAsync(Func<Task> call, CancellationToken cancellationToken) =>
        await GuardAsync(async () => { await call(); return true; }, cancellationToken);

    internal async Task<T> GuardAsync<T>(Func<Task<T>> call, CancellationToken cancellationToken)
    {
        try
        {
            return await call();
        }
        catch (RpcException e)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw RemoteErrors.Translate(e, _channel.Host);
        }
    }

    private Exception EndedEarly() => Errors.ToException(new Error
    {
        Code = ErrorCode.Unavailable, Retryable = true,
        Message = $"The service at {_channel.Host} ended the stream before the job's end.", Hint = "Try again, or look at `ndif status`.",
    });
}

/// <summary>What an end state means to who waits for the job.</summary>
internal static class JobEnd
{
    /// <summary>True if the job completed; false if it goes on.</summary>
    /// <exception cref="NdifException">It failed or was cancelled.</exception>
    public static bool Reached(StateChanged state) => state.State switch
    {
        JobState.Completed => true,
        JobState.Failed => throw Errors.ToException(state.Error ?? Errors.Make(ErrorCode.Internal, "The job failed.")),
        JobState.Cancelled => throw Errors.ToException(state.Error is { Code: not ErrorCode.Unspecified } error ? error
            : Errors.Make(ErrorCode.JobCancelled, "The job was cancelled.")),
        _ => false,
    };
}
