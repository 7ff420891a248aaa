using Grpc.Core;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>`ndif.v1.Inference`: how experiments get in, and their events and tensors out. Every method needs the scope `run`.</summary>
[Requires(Scopes.Run)]
internal sealed class InferenceService(
    Admission admission, OwnJobs own, BlobTransfer blobs, StatusBoard board, IJobQueue jobs, ServedModels models,
    GatewayOptions options, ProgramRules rules, Farewell farewell, Followers followers, Deletion deletion, Waiters waiters, TimeProvider time, IServer server,
    ILogger<InferenceService> logger) : Inference.InferenceBase
{
    private const int LongestList = 1000;

    public override async Task Run(
        IAsyncStreamReader<RunRequest> requestStream, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        using IDisposable visit = farewell.Enter();
        await new RunCall(CallerOf(context), requestStream, responseStream, admission, jobs, followers, waiters, options, logger)
            .RunAsync(farewell.Token, context.CancellationToken);
    }

    public override Task<SubmitReply> Submit(SubmitRequest request, ServerCallContext context) =>
        admission.SubmitAsync(CallerOf(context), request, context.CancellationToken);

    /// <summary>Any number may watch a job, from any sequence number; leaving does not touch it.</summary>
    public override async Task Watch(WatchRequest request, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        await own.CheckAsync(CallerOf(context), request.JobId, context.CancellationToken);
        using IDisposable visit = farewell.Enter();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, farewell.Token);
        using Waiters.Seat seat = waiters.Follow(request.JobId);
        try
        {
            await foreach (Event happening in jobs.WatchAsync(request.JobId, Math.Max(1, request.FromSequence), over.Token))
            {
                seat.Saw(happening);
                await EventStream.WriteAsync(responseStream, happening, options.ReaderPatience, over.Token);
            }
        }
        catch (OperationCanceledException) when (farewell.Token.IsCancellationRequested)
        {
            throw ServerErrors.Stopping();
        }
    }

    public override async Task<JobInfo> Cancel(CancelRequest request, ServerCallContext context)
    {
        await own.CheckAsync(CallerOf(context), request.JobId, context.CancellationToken);
        logger.Cancelling(request.JobId, "The client cancelled it.");
        return await jobs.CancelAsync(request.JobId, "The client cancelled it.", context.CancellationToken)
            ?? throw ServerErrors.UnknownJob(request.JobId);
    }

    public override async Task<JobInfo> GetJob(GetJobRequest request, ServerCallContext context)
    {
        await own.CheckAsync(CallerOf(context), request.JobId, context.CancellationToken);
        return await jobs.GetAsync(request.JobId, context.CancellationToken) ?? throw ServerErrors.UnknownJob(request.JobId);
    }

    /// <summary>The caller's jobs, newest first; 100 if no limit is given, 1000 at most.</summary>
    public override async Task<ListJobsReply> ListJobs(ListJobsRequest request, ServerCallContext context)
    {
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, LongestList);
        return new ListJobsReply { Jobs = { await jobs.ListAsync(CallerOf(context).Id, limit, request.ActiveOnly, context.CancellationToken) } };
    }

    public override async Task<ListModelsReply> ListModels(ListModelsRequest request, ServerCallContext context) =>
        new() { Models = { (await board.ReadAsync(context.CancellationToken)).Models.Where(StatusBoard.IsServed) } };

    /// <summary>The module tree of a model, and with `files` its tokenizer and configuration.</summary>
    public override async Task<ModelDescription> DescribeModel(DescribeModelRequest request, ServerCallContext context)
    {
        var model = new ModelRef { Id = request.Id, Revision = request.Revision };
        (string name, ModelDescription? known) = await models.FindAsync(model, context.CancellationToken);
        if (!CallerOf(context).MayUse(request.Id)) throw ServerErrors.ModelNotAllowed(CallerOf(context), request.Id);
        if (known is null) throw ServerErrors.NotDescribed(name);
        if (request.Files) return known;
        ModelDescription tree = known.Clone();
        tree.Files.Clear();
        return tree;
    }

    public override Task<ServiceStatus> GetStatus(GetStatusRequest request, ServerCallContext context) => board.ReadAsync(context.CancellationToken);

    public override Task<Capabilities> GetCapabilities(GetCapabilitiesRequest request, ServerCallContext context) => Task.FromResult(new Capabilities
    {
        Version = StatusBoard.Version,
        ProgramVersion = rules.Version,
        Ops = { rules.Ops },
        Features = { rules.Features },
        Limits = options.LimitsOf(CallerOf(context).Tier),
        HttpPort = options.HasTls ? 0 : (uint)GatewayHost.AddressOf(server).Http.Port,
    });

    public override async Task<HasBlobsReply> HasBlobs(HasBlobsRequest request, ServerCallContext context) =>
        new() { Missing = { await blobs.MissingAsync(CallerOf(context), request.Ids, context.CancellationToken) } };

    public override Task<BlobRef> PutBlob(IAsyncStreamReader<BlobChunk> requestStream, ServerCallContext context) =>
        blobs.ReceiveAsync(CallerOf(context), requestStream, context.CancellationToken);

    public override Task GetBlob(GetBlobRequest request, IServerStreamWriter<BlobChunk> responseStream, ServerCallContext context) =>
        blobs.SendAsync(CallerOf(context), request, responseStream, context.CancellationToken);

    /// <summary>What the caller's key has used.</summary>
    public override async Task<GetUsageReply> GetUsage(GetUsageRequest request, ServerCallContext context)
    {
        Caller caller = CallerOf(context);
        if (request.Key.Length > 0 && request.Key != caller.Id) throw ServerErrors.NotYourUsage();
        (DateOnly since, DateOnly until) = UsageRange.Of(request, time);
        return new GetUsageReply { Rows = { await jobs.UsageAsync(caller.Id, since, until, context.CancellationToken) } };
    }

    public override async Task<DeleteJobReply> DeleteJob(DeleteJobRequest request, ServerCallContext context)
    {
        await own.CheckAsync(CallerOf(context), request.JobId, context.CancellationToken);
        return await deletion.DeleteAsync(CallerOf(context), request.JobId, context.CancellationToken);
    }

    private static Caller CallerOf(ServerCallContext context) => context.GetHttpContext().Caller();
}
