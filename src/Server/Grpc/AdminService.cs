using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Admission;
using Ndif.Server.Deployments;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Grpc;

/// <summary>The gRPC service `ndif.v1.Admin`. Managing keys requires the scope `admin`; the other methods also accept `operator`.</summary>
[RequiresScope(Scopes.Admin)]
[BindServiceMethod(typeof(SubmissionBinding), nameof(SubmissionBinding.BindAdmin))]
internal sealed class AdminService(
    KeyService keys, IJobQueue jobs, DeploymentAdminService deployments, GatewayOptions options, TimeProvider time,
    ILogger<AdminService> logger) : Ndif.Protocol.Admin.AdminBase
{
    private const int MaxListLength = 1000;

    /// <summary>Creates a key. Only this reply contains its secret. A lifetime of 0 means that the key does not expire.</summary>
    public override async Task<CreateKeyReply> CreateKey(CreateKeyRequest request, ServerCallContext context)
    {
        if (request.Tier.Length > 0 && !options.Tiers.ContainsKey(request.Tier))
            throw ServerErrors.UnknownTier(request.Tier, options.Tiers.Keys);
        CreatedKey created = await keys.CreateAsync(
            request.Name, request.Scopes, request.Tier, request.Models, ParseLifetime(request.LifetimeSeconds), context.CancellationToken);
        logger.KeyCreated(created.Record.Id, created.Record.Name, GetCallerId(context));
        return new CreateKeyReply { Key = created.Record.ToInfo(), Secret = created.Key.Reveal() };
    }

    public override async Task<ListKeysReply> ListKeys(ListKeysRequest request, ServerCallContext context) =>
        new() { Keys = { (await keys.ListAsync(context.CancellationToken)).Select(key => key.ToInfo()) } };

    public override async Task<KeyInfo> RevokeKey(RevokeKeyRequest request, ServerCallContext context)
    {
        KeyRecord revoked = await keys.RevokeAsync(request.Id, context.CancellationToken);
        logger.KeyRevoked(revoked.Id, GetCallerId(context));
        // what it has queued and running ends too, and a submission that is on its way is refused
        int cancelled = await jobs.CloseOwnerAsync(revoked.Id, RevokedKeyCleanupService.Reason, CancellationToken.None);
        if (cancelled > 0) logger.JobsOfRevokedKeyCancelled(cancelled, revoked.Id);
        return revoked.ToInfo();
    }

    /// <summary>Lists the dead letters of all owners, newest first: 100 if no limit is given, at most 1000.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<ListDeadLettersReply> ListDeadLetters(ListDeadLettersRequest request, ServerCallContext context)
    {
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, MaxListLength);
        return new ListDeadLettersReply { Letters = { await jobs.ListDeadLettersAsync(limit, context.CancellationToken) } };
    }

    /// <summary>
    /// Requeues a dead letter as a new job of the same owner. The new id is derived from the old one, so that a repeated or concurrent
    /// call creates one job. The reply is the same until that job is deleted.
    /// </summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<RequeueReply> Requeue(RequeueRequest request, ServerCallContext context)
    {
        if (!QueueJobIds.IsValid(request.JobId)) throw ServerErrors.UnknownDeadLetter(request.JobId);
        string newId = QueueJobIds.GetRequeueId(request.JobId);
        JobInfo? job = await jobs.RequeueAsync(request.JobId, newId, context.CancellationToken);
        if (job is not null) logger.Requeued(request.JobId, newId, GetCallerId(context));
        else if (await jobs.GetAsync(newId, context.CancellationToken) is null) throw ServerErrors.UnknownDeadLetter(request.JobId);
        return new RequeueReply { JobId = newId };
    }

    /// <summary>Lists the jobs of one owner or of all, newest first: 100 if no limit is given, at most 1000.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<ListJobsReply> ListJobs(ListAllJobsRequest request, ServerCallContext context)
    {
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, MaxListLength);
        return new ListJobsReply
        {
            Jobs = { await jobs.ListAsync(request.Owner, limit, request.ActiveOnly, context.CancellationToken) },
        };
    }

    /// <summary>Returns the state of a job of any owner. Its program and its results are not shown.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<JobInfo> GetJob(GetJobRequest request, ServerCallContext context) =>
        (QueueJobIds.IsValid(request.JobId) ? await jobs.GetAsync(request.JobId, context.CancellationToken) : null)
            ?? throw ServerErrors.UnknownJobOfAnyKey(request.JobId);

    /// <summary>
    /// Cancels a job of any owner. A running job loses its lease, and its worker stops it. With `kill`, a worker that cannot stop it within
    /// a second ends, and starts again without it.
    /// </summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<JobInfo> CancelJob(CancelJobRequest request, ServerCallContext context)
    {
        if (!QueueJobIds.IsValid(request.JobId)) throw ServerErrors.UnknownJobOfAnyKey(request.JobId);
        string reason = request.Reason.Length == 0 ? "An operator cancelled it" : ServerErrors.Truncate(request.Reason, maxLength: 500);
        JobInfo job = await jobs.CancelAsync(request.JobId, reason, context.CancellationToken)
            ?? throw ServerErrors.UnknownJobOfAnyKey(request.JobId);
        logger.CancelledByOperator(job.Id, job.Owner, reason, GetCallerId(context));
        if (request.Kill) await deployments.KillAsync(job, GetCallerId(context), context.CancellationToken);
        return job;
    }

    /// <summary>Adds or replaces a deployment. The call returns before the model is loaded.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<ModelStatus> Deploy(DeployRequest request, ServerCallContext context) =>
        deployments.DeployAsync(request, GetCallerId(context), context.CancellationToken);

    /// <summary>
    /// Evicts a model from one worker or from the service. Running jobs end; waiting jobs fail if the model is removed from the service.
    /// </summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<ModelStatus> Evict(EvictRequest request, ServerCallContext context) =>
        deployments.EvictAsync(request, GetCallerId(context), context.CancellationToken);

    /// <summary>Orders a worker to accept no new jobs and to exit when its running jobs have ended.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<WorkerStatus> Drain(DrainRequest request, ServerCallContext context) =>
        deployments.DrainAsync(request.Worker, GetCallerId(context), context.CancellationToken);

    [RequiresScope(Scopes.Run, Scopes.Operator, Scopes.Admin)]
    public override async Task<ListDeploymentsReply> ListDeployments(ListDeploymentsRequest request, ServerCallContext context) =>
        new() { Deployments = { await deployments.ListAsync(context.CancellationToken) } };

    /// <summary>Returns the usage of a key, or of all keys if none is given.</summary>
    public override async Task<GetUsageReply> GetUsage(GetUsageRequest request, ServerCallContext context)
    {
        (DateOnly since, DateOnly until) = UsageDateRange.Parse(request, time);
        string? tier = request.Key.Length == 0 ? null
            : (await keys.ListAsync(context.CancellationToken)).FirstOrDefault(key => key.Id == request.Key)?.Tier ?? "";
        return new GetUsageReply
        {
            Rows = { await jobs.GetUsageAsync(request.Key, since, until, context.CancellationToken) },
            Storage = options.DescribeStorage(await jobs.Storage.GetAsync(request.Key, context.CancellationToken), tier),
        };
    }

    private static TimeSpan? ParseLifetime(double seconds) => seconds switch
    {
        0 => null,
        > 0 and < 100d * 365 * 24 * 3600 => TimeSpan.FromSeconds(seconds),
        _ => throw ServerErrors.BadLifetime(),
    };

    private static string GetCallerId(ServerCallContext context) => context.GetHttpContext().GetCaller().Id;
}
