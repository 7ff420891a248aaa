using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Grpc;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.OpenAi;

/// <summary>
/// Runs completions as jobs: the same admission, queue, limits and usage as for a program that is submitted over gRPC. A job belongs to its
/// request, and is cancelled if the client disconnects or the gateway stops before it has ended.
/// </summary>
internal sealed class CompletionJobRunner(
    JobAdmissionService admission, IJobQueue jobs, IBlobStore blobs, RunStreamTracker runStreams, QueuePositionSubscriptions positions,
    StreamDrainer drainer, ILogger<CompletionJobRunner> logger)
{
    /// <summary>
    /// Submits the program of a completion. Where it has constants of another key, which are those of public edits, the caller is granted
    /// them for the time of the job. It does not learn their ids.
    /// </summary>
    /// <param name="constantsOwner">The key that has published the edits; null without edits.</param>
    /// <exception cref="NdifException">The submission was refused.</exception>
    public async Task<CompletionJob> SubmitAsync(
        Caller caller, CompletionProgram program, string? constantsOwner, IReadOnlyList<ChoiceProgress> choices,
        CancellationToken cancellationToken)
    {
        string[] granted = constantsOwner is null || constantsOwner == caller.Id ? []
            : [.. program.Program.Constants.Where(DataTensors.IsBlob).Select(constant => constant.Blob.Id).Distinct()];
        var job = new CompletionJob(JobIds.New(), caller.Id, choices, granted);
        try
        {
            foreach (string blob in granted) await blobs.GrantAsync(blob, caller.Id, job.Id, cancellationToken);
            await admission.SubmitAsync(caller, new SubmitRequest { Program = program.Program, JobId = job.Id }, cancellationToken);
        }
        catch
        {
            await RevokeGrantsAsync(job);
            throw;
        }
        RequestScope.Current?.Release();
        return job;
    }

    /// <summary>Follows a job to its end, and returns the parts of its choices as they come.</summary>
    /// <exception cref="NdifException">The job failed or was cancelled, or the gateway is shutting down.</exception>
    public async IAsyncEnumerable<ChoiceDelta> FollowAsync(
        CompletionJob job, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using IDisposable? scope = logger.BeginScope(new Dictionary<string, object> { ["JobId"] = job.Id });
        using IDisposable registration = drainer.TrackStream();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, drainer.StoppingToken);
        using QueuePositionSubscriptions.QueuePositionSubscription position = positions.Subscribe(job.Id);
        await runStreams.AddAsync(job.Id);
        bool hasEnded = false;
        try
        {
            await using IAsyncEnumerator<Event> events = jobs.WatchAsync(job.Id, 1, ended.Token).GetAsyncEnumerator(ended.Token);
            while (await MoveNextAsync(events))
            {
                Event jobEvent = events.Current;
                position.OnEventSent(jobEvent);
                hasEnded = EventStreamWriter.IsFinalEvent(jobEvent, out JobState state);
                if (hasEnded) logger.Ended(job.Id, state.ToString(), jobEvent.Sequence);
                if (hasEnded && state is not JobState.Completed) throw Errors.ToException(jobEvent.State.Error);
                await job.OnEventAsync(jobEvent, blobs, ended.Token);
                foreach (ChoiceDelta delta in job.TakeReady()) yield return delta;
            }
        }
        finally
        {
            // nobody else can read this job's text
            if (hasEnded) await runStreams.RemoveAsync(job.Id);
            else await runStreams.LeaveAsync(job.Id, GetCancelReason(cancellationToken));
            await RevokeGrantsAsync(job);
        }
        if (!job.HasEnded) throw Errors.CreateException(ErrorCode.Internal, $"The job {job.Id} ended before all of its choices did.");
    }

    private string GetCancelReason(CancellationToken clientGone) =>
        drainer.StoppingToken.IsCancellationRequested ? "The gateway of the completion is shutting down."
        : clientGone.IsCancellationRequested ? "The client of the completion has gone." : "The completion could not be delivered.";

    private async Task RevokeGrantsAsync(CompletionJob job)
    {
        foreach (string blob in job.GrantedBlobs) await blobs.RevokeAsync(blob, job.Owner, job.Id, CancellationToken.None);
    }

    private async Task<bool> MoveNextAsync(IAsyncEnumerator<Event> events)
    {
        try
        {
            return await events.MoveNextAsync();
        }
        catch (OperationCanceledException) when (drainer.StoppingToken.IsCancellationRequested)
        {
            throw ServerErrors.CompletionInterrupted();
        }
    }
}
