using System.Diagnostics;
using Google.Protobuf;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using Ndif.Queue;
using Ndif.Server.Grpc;
using Ndif.Server.Keys;

namespace Ndif.Server.Admission;

/// <summary>
/// Checks submissions before they are queued. A program that passes runs, or fails with a typed error.
/// <code>
///   submit ── 1 id ── 2 size ── 3 model ── 4 validate ── 5 constants ── 6 cost ── 7 quota ──> queue
///               └ a known id is the same job: nothing is checked or queued again
/// </code>
/// </summary>
internal sealed class JobAdmissionService(
    IJobQueue jobs, IBlobStore blobs, ServedModelCatalog models, GatewayOptions options, ILogger<JobAdmissionService> logger)
{
    private readonly ConstantValidator _constantValidator = new(blobs);

    /// <summary>Checks a submission and queues it. The caller's cancellation has no effect once queueing has begun.</summary>
    /// <exception cref="NdifException">The reason why it was not queued.</exception>
    public async Task<SubmitReply> SubmitAsync(Caller caller, SubmitRequest request, CancellationToken cancellationToken)
    {
        // 1. An id that its owner has used before is the same job.
        string id = request.JobId.Length == 0 ? JobIds.New() : request.JobId;
        if (!JobIds.IsValid(id)) throw ServerErrors.BadJobId();
        if (request.JobId.Length > 0 && await FindExistingJobAsync(caller, id, cancellationToken) is { } known)
            return new SubmitReply { Job = known };

        (JobSubmission submission, Estimate estimate, int nodes) = await ValidateAsync(caller, id, request, cancellationToken);
        if (request.DryRun) return new SubmitReply { Estimate = estimate };

        JobInfo job;
        try
        {
            // 7. The queue checks the quota in the same step that queues the job.
            cancellationToken.ThrowIfCancellationRequested();
            job = await jobs.SubmitAsync(submission, CancellationToken.None); // after half a submission the client would not know its job
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

    private async Task<JobInfo?> FindExistingJobAsync(Caller caller, string id, CancellationToken cancellationToken)
    {
        if (await jobs.GetOwnerAsync(id, cancellationToken) != caller.Id) return null; // the id of another owner: the queue refuses it
        JobInfo? job = await jobs.GetAsync(id, cancellationToken);
        if (job is not null) logger.Resubmitted(id);
        return job;
    }

    private async Task<(JobSubmission Submission, Estimate Estimate, int Nodes)> ValidateAsync(
        Caller caller, string id, SubmitRequest request, CancellationToken cancellationToken)
    {
        using Activity? activity = Telemetry.Source.StartActivity("validate");
        try
        {
            // 2. Size.
            Program program = request.Program ?? throw ServerErrors.NoProgram();
            ProgramLimits limits = options.GetLimits(caller.Tier);
            if (program.Nodes.Count > limits.Nodes)
            {
                throw ServerErrors.OverLimit(
                    "nodes", program.Nodes.Count, limits.Nodes, "Use loops that are one region, or split the experiment.");
            }
            ConstantValidator.ValidateSize(program, limits);
            if (program.RequiredFeatures.FirstOrDefault(feature => !ProgramFormat.Features.Contains(feature)) is { } missing)
                throw ServerErrors.MissingFeature(missing, ProgramFormat.Features);
            TimeSpan timeLimit = ResolveTimeLimit(request, limits);

            // 3. A model that is served, and that this key may use.
            (string model, ModelDescription? description) = await models.FindAsync(program.Model, cancellationToken);
            if (!caller.CanUseModel(program.Model.Id)) throw ServerErrors.ModelNotAllowed(caller, program.Model.Id);

            // 4. The program itself.
            if (ProgramValidator.Validate(program, description, limits) is { } error) throw Errors.ToException(error);

            // 5. Its constants.
            await _constantValidator.ValidateAsync(program, caller, cancellationToken);

            // 6. Its cost.
            Estimate estimate = ProgramCostEstimator.Estimate(program, description);
            if (estimate.Tokens > limits.Tokens)
            {
                throw ServerErrors.OverLimit(
                    "tokens, read and generated", (long)estimate.Tokens, limits.Tokens, "Split it into several jobs.");
            }
            ReadOnlyMemory<byte> bytes = request.ReceivedProgram.IsEmpty ? program.ToByteArray() : request.ReceivedProgram;
            if ((ulong)bytes.Length > limits.MessageBytes)
                throw Errors.ToException(ServerErrors.MessageTooLarge((long)limits.MessageBytes));
            return (new JobSubmission(
                id, caller.Id, model, bytes, options.GetTier(caller.Tier).Weight, ProgramCostEstimator.ComputeCost(estimate), timeLimit,
                options.GetQuota(caller.Tier), (long)limits.ResultBytes),
                estimate, program.Nodes.Count);
        }
        catch (NdifException refusal)
        {
            ReportRefusal(caller, request, refusal);
            throw;
        }
    }

    private void ReportRefusal(Caller caller, SubmitRequest request, NdifException refusal)
    {
        logger.NotAdmitted(
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
