using Grpc.Core;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Deployments;
using Ndif.Server.Keys;

namespace Ndif.Server.Grpc;

/// <summary>`ndif.v1.Admin`. Keys are the scope `admin`'s; the service itself may be operated with the scope `operator` too.</summary>
[RequiresScope(Scopes.Admin)]
internal sealed class AdminService(KeyService keys, IJobQueue jobs, DeploymentAdminService deployments, GatewayOptions options, TimeProvider time, ILogger<AdminService> logger) : Ndif.Protocol.Admin.AdminBase
{
    private const int MaxListLength = 1000;

    /// <summary>Makes a key; the reply is the only time that its secret is shown. A lifetime of 0 is one without end.</summary>
    public override async Task<CreateKeyReply> CreateKey(CreateKeyRequest request, ServerCallContext context)
    {
        if (request.Tier.Length > 0 && !options.Tiers.ContainsKey(request.Tier)) throw ServerErrors.UnknownTier(request.Tier, options.Tiers.Keys);
        CreatedKey made = await keys.CreateAsync(
            request.Name, request.Scopes, request.Tier, request.Models, ParseLifetime(request.LifetimeSeconds), context.CancellationToken);
        logger.KeyMade(made.Record.Id, made.Record.Name, GetCallerId(context));
        return new CreateKeyReply { Key = made.Record.ToInfo(), Secret = made.Key.Reveal() };
    }

    public override async Task<ListKeysReply> ListKeys(ListKeysRequest request, ServerCallContext context) =>
        new() { Keys = { (await keys.ListAsync(context.CancellationToken)).Select(key => key.ToInfo()) } };

    public override async Task<KeyInfo> RevokeKey(RevokeKeyRequest request, ServerCallContext context)
    {
        KeyRecord revoked = await keys.RevokeAsync(request.Id, context.CancellationToken);
        logger.KeyRevoked(revoked.Id, GetCallerId(context));
        return revoked.ToInfo();
    }

    /// <summary>Jobs of any owner that were failed because their workers were lost, newest first; 100 if no limit is given, 1000 at most.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<ListDeadLettersReply> ListDeadLetters(ListDeadLettersRequest request, ServerCallContext context)
    {
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, MaxListLength);
        return new ListDeadLettersReply { Letters = { await jobs.ListDeadLettersAsync(limit, context.CancellationToken) } };
    }

    /// <summary>
    /// Runs a dead letter's program again as a new job of the same owner. The new id follows from the old one, so that asking twice,
    /// or two operators at once, make one job; the answer is the same as long as that job is remembered.
    /// </summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override async Task<RequeueReply> Requeue(RequeueRequest request, ServerCallContext context)
    {
        if (!JobIds.IsValid(request.JobId)) throw ServerErrors.UnknownDeadLetter(request.JobId);
        string again = JobIds.ForRequeueOf(request.JobId);
        JobInfo? job = await jobs.RequeueAsync(request.JobId, again, context.CancellationToken);
        if (job is not null) logger.Requeued(request.JobId, again, GetCallerId(context));
        else if (await jobs.GetAsync(again, context.CancellationToken) is null) throw ServerErrors.UnknownDeadLetter(request.JobId);
        return new RequeueReply { JobId = again };
    }

    /// <summary>Wants a model from now on, or wants it otherwise; the answer comes before it is loaded.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<ModelStatus> Deploy(DeployRequest request, ServerCallContext context) => deployments.DeployAsync(request, GetCallerId(context), context.CancellationToken);

    /// <summary>Takes a model off one worker, or off the service: jobs that run end, jobs that wait are failed where nobody is to have it.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<ModelStatus> Evict(EvictRequest request, ServerCallContext context) => deployments.EvictAsync(request, GetCallerId(context), context.CancellationToken);

    /// <summary>Has a worker take nothing new, and leave when what it runs has ended.</summary>
    [RequiresScope(Scopes.Operator, Scopes.Admin)]
    public override Task<WorkerStatus> Drain(DrainRequest request, ServerCallContext context) => deployments.DrainAsync(request.Worker, GetCallerId(context), context.CancellationToken);

    [RequiresScope(Scopes.Run, Scopes.Operator, Scopes.Admin)]
    public override async Task<ListDeploymentsReply> ListDeployments(ListDeploymentsRequest request, ServerCallContext context) =>
        new() { Deployments = { await deployments.ListAsync(context.CancellationToken) } };

    /// <summary>What a key has used, or with no key named, all of them.</summary>
    public override async Task<GetUsageReply> GetUsage(GetUsageRequest request, ServerCallContext context)
    {
        (DateOnly since, DateOnly until) = UsageDateRange.Parse(request, time);
        return new GetUsageReply { Rows = { await jobs.GetUsageAsync(request.Key, since, until, context.CancellationToken) } };
    }

    private static TimeSpan? ParseLifetime(double seconds) => seconds switch
    {
        0 => null,
        > 0 and < 100d * 365 * 24 * 3600 => TimeSpan.FromSeconds(seconds),
        _ => throw ServerErrors.BadLifetime(),
    };

    private static string GetCallerId(ServerCallContext context) => context.GetHttpContext().GetCaller().Id;
}
