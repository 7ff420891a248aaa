using Grpc.Core;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Blobs;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Grpc;

/// <summary>`ndif.v1.Inference`: how experiments get in, and their events and tensors out. Every method needs the scope `run`.</summary>
[RequiresScope(Scopes.Run)]
[BindServiceMethod(typeof(SubmissionBinding), nameof(SubmissionBinding.Bind))]
internal sealed class InferenceService(
    JobAdmissionService admissionService, JobAuthorizer jobAuthorizer, BlobTransfer blobs, ServiceStatusReader statusReader, IJobQueue jobs, ServedModelCatalog modelCatalog,
    GatewayOptions options, StreamDrainer streamDrainer, RunStreamTracker runStreams, JobDeletionService deletionService, QueuePositionSubscriptions positionSubscriptions, TimeProvider time, IServer server,
    ILogger<InferenceService> logger) : Inference.InferenceBase
{
    private const int MaxListLength = 1000;

    private static readonly string[] _ops = [.. OpTable.Rows.Keys.Order(StringComparer.Ordinal)];

    public override async Task Run(
        IAsyncStreamReader<RunRequest> requestStream, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        using IDisposable visit = streamDrainer.TrackStream();
        await new RunCallHandler(GetCaller(context), requestStream, responseStream, admissionService, jobs, runStreams, positionSubscriptions, options, logger)
            .RunAsync(streamDrainer.StoppingToken, context.CancellationToken);
    }

    public override Task<SubmitReply> Submit(SubmitRequest request, ServerCallContext context) =>
        admissionService.SubmitAsync(GetCaller(context), request, context.CancellationToken);

    /// <summary>Any number may watch a job, from any sequence number; leaving does not touch it.</summary>
    public override async Task Watch(WatchRequest request, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        await jobAuthorizer.AuthorizeAsync(GetCaller(context), request.JobId, context.CancellationToken);
        using IDisposable visit = streamDrainer.TrackStream();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, streamDrainer.StoppingToken);
        using QueuePositionSubscriptions.QueuePositionSubscription seat = positionSubscriptions.Subscribe(request.JobId);
        try
        {
            await foreach (Event happening in jobs.WatchAsync(request.JobId, Math.Max(1, request.FromSequence), over.Token))
            {
                seat.OnEventSent(happening);
                await EventStreamWriter.WriteAsync(responseStream, happening, options.ReaderPatience, over.Token);
            }
        }
        catch (OperationCanceledException) when (streamDrainer.StoppingToken.IsCancellationRequested)
        {
            throw ServerErrors.GatewayStopping();
        }
    }

    public override async Task<JobInfo> Cancel(CancelRequest request, ServerCallContext context)
    {
        await jobAuthorizer.AuthorizeAsync(GetCaller(context), request.JobId, context.CancellationToken);
        logger.Cancelling(request.JobId, "The client cancelled it.");
        return await jobs.CancelAsync(request.JobId, "The client cancelled it.", context.CancellationToken)
            ?? throw ServerErrors.UnknownJob(request.JobId);
    }

    public override async Task<JobInfo> GetJob(GetJobRequest request, ServerCallContext context)
    {
        await jobAuthorizer.AuthorizeAsync(GetCaller(context), request.JobId, context.CancellationToken);
        return await jobs.GetAsync(request.JobId, context.CancellationToken) ?? throw ServerErrors.UnknownJob(request.JobId);
    }

    /// <summary>The caller's jobs, newest first; 100 if no limit is given, 1000 at most.</summary>
    public override async Task<ListJobsReply> ListJobs(ListJobsRequest request, ServerCallContext context)
    {
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, MaxListLength);
        return new ListJobsReply { Jobs = { await jobs.ListAsync(GetCaller(context).Id, limit, request.ActiveOnly, context.CancellationToken) } };
    }

    public override async Task<ListModelsReply> ListModels(ListModelsRequest request, ServerCallContext context) =>
        new() { Models = { (await statusReader.ReadAsync(context.CancellationToken)).Models.Where(ServiceStatusReader.IsServed) } };

    /// <summary>The module tree of a model, and with `files` its tokenizer and configuration.</summary>
    public override async Task<ModelDescription> DescribeModel(DescribeModelRequest request, ServerCallContext context)
    {
        var model = new ModelRef { Id = request.Id, Revision = request.Revision };
        (string name, ModelDescription? known) = await modelCatalog.FindAsync(model, context.CancellationToken);
        if (!GetCaller(context).CanUseModel(request.Id)) throw ServerErrors.ModelNotAllowed(GetCaller(context), request.Id);
        if (known is null) throw ServerErrors.NotDescribed(name);
        if (request.Files) return known;
        ModelDescription tree = known.Clone();
        tree.Files.Clear();
        return tree;
    }

    public override Task<ServiceStatus> GetStatus(GetStatusRequest request, ServerCallContext context) => statusReader.ReadAsync(context.CancellationToken);

    public override Task<Capabilities> GetCapabilities(GetCapabilitiesRequest request, ServerCallContext context) => Task.FromResult(new Capabilities
    {
        Version = ServiceStatusReader.Version,
        ProgramVersion = ProgramFormat.Version,
        Ops = { _ops },
        Features = { ProgramFormat.Features },
        Limits = options.GetLimits(GetCaller(context).Tier),
        HttpPort = options.HasTls ? 0 : (uint)GatewayHost.GetAddress(server).Http.Port,
        GrpcPort = (uint)GatewayHost.GetAddress(server).Grpc.Port,
    });

    public override async Task<HasBlobsReply> HasBlobs(HasBlobsRequest request, ServerCallContext context) =>
        new() { Missing = { await blobs.MissingAsync(GetCaller(context), request.Ids, context.CancellationToken) } };

    public override Task<BlobRef> PutBlob(IAsyncStreamReader<BlobChunk> requestStream, ServerCallContext context) =>
        blobs.ReceiveAsync(GetCaller(context), requestStream, context.CancellationToken);

    public override Task GetBlob(GetBlobRequest request, IServerStreamWriter<BlobChunk> responseStream, ServerCallContext context) =>
        blobs.SendAsync(GetCaller(context), request, responseStream, context.CancellationToken);

    /// <summary>What the caller's key has used.</summary>
    public override async Task<GetUsageReply> GetUsage(GetUsageRequest request, ServerCallContext context)
    {
        Caller caller = GetCaller(context);
        if (request.Key.Length > 0 && request.Key != caller.Id) throw ServerErrors.NotYourUsage();
        (DateOnly since, DateOnly until) = UsageDateRange.Parse(request, time);
        return new GetUsageReply { Rows = { await jobs.GetUsageAsync(caller.Id, since, until, context.CancellationToken) } };
    }

    public override async Task<DeleteJobReply> DeleteJob(DeleteJobRequest request, ServerCallContext context)
    {
        await jobAuthorizer.AuthorizeAsync(GetCaller(context), request.JobId, context.CancellationToken);
        return await deletionService.DeleteAsync(GetCaller(context), request.JobId, context.CancellationToken);
    }

    private static Caller GetCaller(ServerCallContext context) => context.GetHttpContext().GetCaller();
}
