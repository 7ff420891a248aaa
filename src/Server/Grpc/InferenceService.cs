using Grpc.Core;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using Ndif.Protocol.Programs;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Admission;
using Ndif.Server.Blobs;
using Ndif.Server.Edits;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Grpc;

/// <summary>The gRPC service `ndif.v1.Inference`: jobs, their events, blobs, models and status. It requires the scope `run`.</summary>
[RequiresScope(Scopes.Run)]
[BindServiceMethod(typeof(SubmissionBinding), nameof(SubmissionBinding.Bind))]
internal sealed class InferenceService(
    JobAdmissionService admissionService, JobAuthorizer jobAuthorizer, BlobTransfer blobs, ServiceStatusReader statusReader,
    IJobQueue jobs, ServedModelCatalog modelCatalog, WorkerLimits workerLimits, GatewayOptions options,
    StreamDrainer streamDrainer, RunStreamTracker runStreams, JobDeletionService deletionService,
    QueuePositionSubscriptions positionSubscriptions, PublishedEditsService edits, TimeProvider time,
    IServer server, ILogger<InferenceService> logger) : Inference.InferenceBase
{
    private const int MaxListLength = 1000;

    private static readonly string[] _ops = [.. OpTable.Rows.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Submits a job, and streams its events and the client's messages (<see cref="RunCallHandler"/>).</summary>
    public override async Task Run(
        IAsyncStreamReader<RunRequest> requestStream, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        using IDisposable registration = streamDrainer.TrackStream();
        var call = new RunCallHandler(
            GetCaller(context), requestStream, responseStream, admissionService, jobs, runStreams, positionSubscriptions, options, logger);
        await call.RunAsync(streamDrainer.StoppingToken, context.CancellationToken);
    }

    /// <summary>Submits a job that goes on without a client.</summary>
    public override async Task<SubmitReply> Submit(SubmitRequest request, ServerCallContext context)
    {
        SubmitReply reply = await admissionService.SubmitAsync(GetCaller(context), request, context.CancellationToken);
        if (reply.Job is not { } job) return reply; // a dry run
        if (!job.State.IsTerminal()) await runStreams.DetachAsync(job.Id);
        reply.Job = ForOwner(job);
        return reply;
    }

    /// <summary>
    /// Streams the events of a job from a sequence number on. Any number of clients may watch; ending the call does not affect the job.
    /// While one watches, the job is not cancelled because the client that submitted it has gone.
    /// </summary>
    public override async Task Watch(WatchRequest request, IServerStreamWriter<Event> responseStream, ServerCallContext context)
    {
        string jobId = await jobAuthorizer.FindAsync(GetCaller(context), request.JobId, context.CancellationToken);
        using IDisposable registration = streamDrainer.TrackStream();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, streamDrainer.StoppingToken);
        using QueuePositionSubscriptions.QueuePositionSubscription positions = positionSubscriptions.Subscribe(jobId);
        await runStreams.AddAsync(jobId);
        try
        {
            await foreach (Event jobEvent in jobs.WatchAsync(jobId, Math.Max(1, request.FromSequence), ended.Token))
            {
                positions.OnEventSent(jobEvent);
                await EventStreamWriter.WriteAsync(responseStream, jobEvent, options.StalledReaderTimeout, ended.Token);
            }
        }
        catch (OperationCanceledException) when (streamDrainer.StoppingToken.IsCancellationRequested)
        {
            throw ServerErrors.GatewayStopping();
        }
        finally
        {
            await runStreams.RemoveAsync(jobId);
        }
    }

    public override async Task<JobInfo> Cancel(CancelRequest request, ServerCallContext context)
    {
        string jobId = await jobAuthorizer.FindAsync(GetCaller(context), request.JobId, context.CancellationToken);
        logger.Cancelling(jobId, "The client cancelled it.");
        return ForOwner(await jobs.CancelAsync(jobId, "The client cancelled it.", context.CancellationToken)
            ?? throw ServerErrors.UnknownJob(request.JobId));
    }

    public override async Task<JobInfo> GetJob(GetJobRequest request, ServerCallContext context)
    {
        string jobId = await jobAuthorizer.FindAsync(GetCaller(context), request.JobId, context.CancellationToken);
        return ForOwner(await jobs.GetAsync(jobId, context.CancellationToken) ?? throw ServerErrors.UnknownJob(request.JobId));
    }

    /// <summary>Lists the jobs of the caller, newest first: 100 if no limit is given, at most 1000.</summary>
    public override async Task<ListJobsReply> ListJobs(ListJobsRequest request, ServerCallContext context)
    {
        await TakeTurnAsync(context);
        int limit = request.Limit == 0 ? 100 : (int)Math.Min(request.Limit, MaxListLength);
        IReadOnlyList<JobInfo> listed = await jobs.ListAsync(GetCaller(context).Id, limit, request.ActiveOnly, context.CancellationToken);
        return new ListJobsReply { Jobs = { listed.Select(ForOwner) } };
    }

    public override async Task<ListModelsReply> ListModels(ListModelsRequest request, ServerCallContext context) =>
        new() { Models = { (await statusReader.ReadAsync(context.CancellationToken)).Models.Where(ServiceStatusReader.IsServed) } };

    /// <summary>Returns the module tree of a model; with `files` also its tokenizer and configuration.</summary>
    public override async Task<ModelDescription> DescribeModel(DescribeModelRequest request, ServerCallContext context)
    {
        var model = new ModelRef { Id = request.Id, Revision = request.Revision };
        (string name, ModelDescription? description) = await modelCatalog.FindAsync(model, context.CancellationToken);
        if (!GetCaller(context).CanUseModel(request.Id)) throw ServerErrors.ModelNotAllowed(GetCaller(context), request.Id);
        if (description is null) throw ServerErrors.NotDescribed(name);
        if (request.Files)
        {
            // the tokenizer has megabytes, and a client may read slowly
            RequestScope.Current?.ReserveUntilEnd(description.CalculateSize());
            return description;
        }
        ModelDescription withoutFiles = description.Clone();
        withoutFiles.Files.Clear();
        return withoutFiles;
    }

    public override Task<ServiceStatus> GetStatus(GetStatusRequest request, ServerCallContext context) =>
        statusReader.ReadAsync(context.CancellationToken);

    public override async Task<Capabilities> GetCapabilities(GetCapabilitiesRequest request, ServerCallContext context) =>
        new()
        {
            Version = ServiceStatusReader.Version,
            ProgramVersion = ProgramFormat.Version,
            Ops = { _ops },
            Features = { ProgramFormat.Features },
            Limits = await workerLimits.GetAsync(GetCaller(context), context.CancellationToken),
            HttpPort = options.HasTls ? 0 : (uint)GatewayHost.GetAddress(server).Http.Port,
            GrpcPort = (uint)GatewayHost.GetAddress(server).Grpc.Port,
        };

    public override async Task<HasBlobsReply> HasBlobs(HasBlobsRequest request, ServerCallContext context) =>
        new() { Missing = { await blobs.MissingAsync(GetCaller(context), request.Ids, context.CancellationToken) } };

    public override Task<BlobRef> PutBlob(IAsyncStreamReader<BlobChunk> requestStream, ServerCallContext context) =>
        blobs.ReceiveAsync(GetCaller(context), requestStream, context.CancellationToken);

    public override Task GetBlob(GetBlobRequest request, IServerStreamWriter<BlobChunk> responseStream, ServerCallContext context) =>
        blobs.SendAsync(GetCaller(context), request, responseStream, context.CancellationToken);

    /// <summary>Returns the usage of the caller's key.</summary>
    public override async Task<GetUsageReply> GetUsage(GetUsageRequest request, ServerCallContext context)
    {
        Caller caller = GetCaller(context);
        if (request.Key.Length > 0 && request.Key != caller.Id) throw ServerErrors.NotYourUsage();
        (DateOnly since, DateOnly until) = UsageDateRange.Parse(request, time);
        await TakeTurnAsync(context);
        return new GetUsageReply
        {
            Rows = { await jobs.GetUsageAsync(caller.Id, since, until, context.CancellationToken) },
            Storage = options.DescribeStorage(
                await jobs.Storage.GetAsync(caller.Id, context.CancellationToken), caller.Tier),
        };
    }

    public override async Task<DeleteJobReply> DeleteJob(DeleteJobRequest request, ServerCallContext context)
    {
        string jobId = await jobAuthorizer.FindAsync(GetCaller(context), request.JobId, context.CancellationToken);
        return await deletionService.DeleteAsync(GetCaller(context), jobId, context.CancellationToken);
    }

    /// <summary>Publishes edits. No reply names their blobs: others may run public edits, and not read them.</summary>
    public override async Task<EditsInfo> PublishEdits(PublishEditsRequest request, ServerCallContext context) =>
        (await edits.PublishAsync(GetCaller(context), request, context.CancellationToken)).WithoutBlobs();

    /// <summary>Lists the published edits that the caller may use.</summary>
    public override async Task<ListEditsReply> ListEdits(ListEditsRequest request, ServerCallContext context)
    {
        await TakeTurnAsync(context);
        return new ListEditsReply { Edits = { await edits.ListAsync(GetCaller(context), context.CancellationToken) } };
    }

    public override async Task<EditsInfo> GetEdits(GetEditsRequest request, ServerCallContext context) =>
        await edits.FindAsync(GetCaller(context), request.Name, context.CancellationToken) is { } info ? info.WithoutBlobs()
            : throw ServerErrors.UnknownEdits(request.Name);

    public override async Task<EditsInfo> DeleteEdits(DeleteEditsRequest request, ServerCallContext context) =>
        (await edits.DeleteAsync(GetCaller(context).Id, request.Name, context.CancellationToken)).WithoutBlobs();

    /// <summary>A job with the id by which its owner knows it.</summary>
    private static JobInfo ForOwner(JobInfo job) => new(job) { Id = QueueJobIds.GetOwnersId(job.Id) };

    /// <summary>Lists are long for the queue: a key reads one at a time.</summary>
    private static Task TakeTurnAsync(ServerCallContext context) =>
        RequestScope.Current?.TakeTurnAsync(context.CancellationToken) ?? Task.CompletedTask;

    private static Caller GetCaller(ServerCallContext context) => context.GetHttpContext().GetCaller();
}
