using System.Diagnostics;
using Google.Protobuf;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Queue;
using Ndif.Queue.Rules;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;

namespace Ndif.Server.Admission;

/// <summary>
/// Validates submissions and queues them. An accepted job runs, or fails with a typed error of the run:
/// 1. Check the job id. An id that the owner has already used for this program is the same job; it is returned, and nothing is checked or
///    queued again. With another program it is refused.
/// 2. Check the time limit.
/// 3. Find the model, and check that the key may use it.
/// 4. Validate the program: format, limits, and the modules of the model.
/// 5. Validate the constants.
/// 6. Estimate the cost.
/// 7. Queue the job; the queue checks the quota.
/// </summary>
internal sealed class JobAdmissionService(
    IJobQueue jobs, IBlobStore blobs, ServedModelCatalog models, ServiceNotices notices, WorkerLimits workerLimits,
    GatewayOptions options, ILogger<JobAdmissionService> logger)
{
    private readonly ConstantValidator _constantValidator = new(blobs);

    /// <summary>Validates a submission and queues it. The caller cannot cancel it once it is being queued.</summary>
    /// <exception cref="NdifException">The submission was refused.</exception>
    public async Task<SubmitReply> SubmitAsync(Caller caller, SubmitRequest request, CancellationToken cancellationToken)
    {
        // 1. The job id.
        string id = request.JobId.Length == 0 ? JobIds.New()
            : QueueJobIds.Find(request.JobId, caller.Id) ?? throw ServerErrors.BadJobId();
        if (request.JobId.Length > 0 && await FindExistingJobAsync(caller, id, request, cancellationToken) is { } existing)
            return new SubmitReply { Job = existing };

        (JobSubmission submission, Estimate estimate, int nodes) = await ValidateAsync(caller, id, request, cancellationToken);
        if (request.DryRun)
        {
            if (RequestScope.Current is { } scope) scope.IsRepeatable = true;
            return new SubmitReply { Estimate = estimate };
        }

        JobInfo job;
        try
        {
            // 7. The queue checks the quota in the step that queues the job.
            cancellationToken.ThrowIfCancellationRequested();
            // not cancellable: the client would not know whether the job exists
            submission = submission with { Notice = await notices.GetAsync(submission.Model, CancellationToken.None) };
            job = await jobs.SubmitAsync(submission, CancellationToken.None);
        }
        catch (NdifException refusal)
        {
            ReportRefusal(caller, request, refusal);
            throw;
        }
        Activity.Current?.SetTag("job", id);
        logger.Accepted(id, caller.Id, submission.Model, nodes, submission.Cost);
        Telemetry.Submissions.Add(1);
        return new SubmitReply { Job = job, Estimate = estimate };
    }

    private async Task<JobInfo?> FindExistingJobAsync(
        Caller caller, string id, SubmitRequest request, CancellationToken cancellationToken)
    {
        // the queue refuses the id of another owner
        JobInfo? job = await jobs.FindSubmittedAsync(id, caller.Id, GetProgramBytes(request), cancellationToken);
        if (job is not null) logger.Resubmitted(id);
        return job;
    }

    private async Task<(JobSubmission Submission, Estimate Estimate, int Nodes)> ValidateAsync(
        Caller caller, string id, SubmitRequest request, CancellationToken cancellationToken)
    {
        using Activity? activity = Telemetry.Source.StartActivity("validate");
        try
        {
            // 2. The time limit.
            Program program = request.Program ?? throw ServerErrors.NoProgram();
            ProgramLimits limits = await workerLimits.GetAsync(caller, cancellationToken);
            TimeSpan timeLimit = ResolveTimeLimit(request, limits);

            // 3. The model.
            (string model, ModelDescription? description) = await models.FindAsync(program.Model, cancellationToken);
            if (!caller.CanUseModel(program.Model.Id)) throw ServerErrors.ModelNotAllowed(caller, program.Model.Id);

            // 4. The program.
            if (ProgramValidator.Validate(program, description, limits) is { } error) throw Errors.ToException(error);

            // 5. The constants.
            await _constantValidator.ValidateAsync(program, caller, cancellationToken);

            // 6. The cost.
            Estimate estimate = ProgramCostEstimator.Estimate(program, description);
            if (estimate.Tokens > limits.Tokens)
                throw ServerErrors.OverLimit(
                    "tokens, read and generated", (long)estimate.Tokens, limits.Tokens, "Split it into several jobs.");
            ReadOnlyMemory<byte> bytes = GetProgramBytes(request);
            if ((ulong)bytes.Length > limits.MessageBytes)
                throw Errors.ToException(ServerErrors.MessageTooLarge((long)limits.MessageBytes));
            return (new JobSubmission(
                id, caller.Id, model, bytes, options.GetTier(caller.Tier).Weight, ProgramCostEstimator.ComputeCost(estimate), timeLimit,
                options.GetQuota(caller.Tier), (long)limits.ResultBytes) { Storage = options.GetStorageLimits(caller.Tier) },
                estimate, program.Nodes.Count);
        }
        catch (NdifException refusal)
        {
            ReportRefusal(caller, request, refusal);
            throw;
        }
    }

    private static ReadOnlyMemory<byte> GetProgramBytes(SubmitRequest request) =>
        request.ReceivedProgram.IsEmpty ? request.Program?.ToByteArray() ?? default(ReadOnlyMemory<byte>) : request.ReceivedProgram;

    private void ReportRefusal(Caller caller, SubmitRequest request, NdifException refusal)
    {
        logger.SubmissionRefused(
            caller.Id, ServerErrors.Truncate(request.Program?.Model?.Id ?? ""), ErrorCodeNames.GetName(refusal.Code),
            ServerErrors.Truncate(refusal.Error.Message, maxLength: 500));
        Telemetry.Refusals.Add(1, new KeyValuePair<string, object?>("code", ErrorCodeNames.GetName(refusal.Code)));
    }

    private static TimeSpan ResolveTimeLimit(SubmitRequest request, ProgramLimits limits) => request.TimeoutSeconds switch
    {
        0 => TimeSpan.FromSeconds(limits.WallSeconds),
        var seconds when seconds > 0 && seconds <= limits.WallSeconds => TimeSpan.FromSeconds(Math.Max(seconds, 0.001)),
        _ => throw ServerErrors.BadTimeout(TimeSpan.FromSeconds(limits.WallSeconds)), // also NaN
    };
}
