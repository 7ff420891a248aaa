using System.Runtime.ExceptionServices;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Server;

/// <summary>
/// One `Run`: a job submitted, followed and answered on one stream.
/// <code>
///   client ── submit ──────────> 1 admission ──> queue
///          ── local, cancel ───> 2 listen    ──> queue        (until the client ends its side)
///          &lt;───────── events ── 3 follow    &lt;── queue        (one at a time: a slow reader slows only itself)
///                               4 end
/// </code>
/// The job belongs to the stream: if the client ends its side or the connection drops before the job has ended, the job is
/// cancelled, unless the client has sent `detach` or follows the job on another stream. A gateway that is being stopped cancels nothing: the client is told to Watch.
/// </summary>
internal sealed class RunCall(
    Caller caller, IAsyncStreamReader<RunRequest> requests, IServerStreamWriter<Event> responses,
    Admission admission, IJobQueue jobs, Followers followers, Waiters waiters, GatewayOptions options, ILogger logger)
{
    private string jobId = "";
    private volatile bool detached;
    private volatile bool ended;
    private volatile bool lost;

    /// <param name="stopping">The gateway is being stopped.</param>
    /// <param name="gone">The client is gone, or its deadline has passed.</param>
    public async Task RunAsync(CancellationToken stopping, CancellationToken gone)
    {
        // 1. The first message is the submission.
        if (!await requests.NextAsync(options.RequestPatience, gone) || requests.Current.KindCase != RunRequest.KindOneofCase.Submit) throw ServerErrors.NoSubmission();
        if (requests.Current.Submit.DryRun) throw ServerErrors.DryRunOnRun();
        jobId = (await admission.SubmitAsync(caller, requests.Current.Submit, gone)).Job.Id;
        using IDisposable? scope = logger.BeginScope(new Dictionary<string, object> { ["JobId"] = jobId });

        followers.Enter(jobId);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(gone, stopping);
        Task listening = ListenAsync(over);
        Exception? failure = null;
        try { await FollowAsync(over.Token); }
        catch (Exception cause) { failure = cause; }

        // 4. Nothing outlives the call, and a job without a reader is not left running.
        await over.CancelAsync();
        await listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        bool last = followers.Leave(jobId);
        if (ended || failure is null) return;
        if (stopping.IsCancellationRequested) throw ServerErrors.Stopping();
        if (last && !detached && (lost || gone.IsCancellationRequested)) await CancelAsync("The client's connection ended before the job did.");
        if (listening.IsFaulted) await listening; // the client broke the protocol: that is the error to tell
        ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>2. What the client says while the job runs.</summary>
    private async Task ListenAsync(CancellationTokenSource over)
    {
        try
        {
            while (await requests.NextAsync(over.Token)) await HearAsync(requests.Current, over.Token);
            if (!ended && !detached) await CancelAsync("The client ended its side of the stream before the job had ended.");
        }
        catch (Exception) when (!over.IsCancellationRequested)
        {
            lost = true;
            await over.CancelAsync();
            throw;
        }
    }

    private async Task HearAsync(RunRequest request, CancellationToken cancellationToken)
    {
        switch (request.KindCase)
        {
            case RunRequest.KindOneofCase.Local:
                await jobs.ReplyAsync(jobId, request.Local, cancellationToken);
                break;
            case RunRequest.KindOneofCase.Cancel:
                await CancelAsync("The client cancelled it.");
                break;
            case RunRequest.KindOneofCase.Detach:
                detached = true;
                logger.Detached(jobId);
                break;
            case RunRequest.KindOneofCase.Submit:
                throw ServerErrors.SecondSubmission();
            case RunRequest.KindOneofCase.None:
            default:
                throw new NdifException(ServerErrors.MalformedMessage());
        }
    }

    /// <summary>3. Events as they come. WriteAsync returns when HTTP/2's flow control lets the bytes go.</summary>
    private async Task FollowAsync(CancellationToken cancellationToken)
    {
        using Waiters.Seat seat = waiters.Follow(jobId);
        await foreach (Event happening in jobs.WatchAsync(jobId, 1, cancellationToken))
        {
            seat.Saw(happening);
            if (EventStream.IsEnd(happening, out JobState state))
            {
                ended = true;
                logger.Ended(jobId, state.ToString(), happening.Sequence);
            }
            try { await EventStream.WriteAsync(responses, happening, options.ReaderPatience, cancellationToken); }
            catch (Exception)
            {
                lost = true; // the call's token may not know it yet
                throw;
            }
        }
    }

    private async Task CancelAsync(string reason)
    {
        logger.Cancelling(jobId, reason);
        await jobs.CancelAsync(jobId, reason, CancellationToken.None); // the caller's token may be the reason
    }
}
