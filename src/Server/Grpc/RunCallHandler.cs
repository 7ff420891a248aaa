using System.Runtime.ExceptionServices;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Keys;

namespace Ndif.Server.Grpc;

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
internal sealed class RunCallHandler(
    Caller caller, IAsyncStreamReader<RunRequest> requests, IServerStreamWriter<Event> responses,
    JobAdmissionService admissionService, IJobQueue jobs, RunStreamTracker runStreams, QueuePositionSubscriptions positionSubscriptions, GatewayOptions options, ILogger logger)
{
    private string _jobId = "";
    private volatile bool _isDetached;
    private volatile bool _hasEnded;
    private volatile bool _isClientLost;

    /// <param name="gatewayStopping">The gateway is being stopped.</param>
    /// <param name="callCancelled">The client is gone, or its deadline has passed.</param>
    public async Task RunAsync(CancellationToken gatewayStopping, CancellationToken callCancelled)
    {
        // 1. The first message is the submission.
        if (!await requests.ReadNextAsync(options.RequestPatience, callCancelled) || requests.Current.KindCase != RunRequest.KindOneofCase.Submit) throw ServerErrors.NoSubmission();
        if (requests.Current.Submit.DryRun) throw ServerErrors.DryRunOnRun();
        _jobId = (await admissionService.SubmitAsync(caller, requests.Current.Submit, callCancelled)).Job.Id;
        using IDisposable? scope = logger.BeginScope(new Dictionary<string, object> { ["JobId"] = _jobId });

        runStreams.Add(_jobId);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(callCancelled, gatewayStopping);
        Task listening = ReadRequestsAsync(over);
        Exception? failure = null;
        try { await SendEventsAsync(over.Token); }
        catch (Exception cause) { failure = cause; }

        // 4. Nothing outlives the call, and a job without a reader is not left running.
        await over.CancelAsync();
        await listening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        bool last = runStreams.Remove(_jobId);
        if (_hasEnded || failure is null) return;
        if (gatewayStopping.IsCancellationRequested) throw ServerErrors.GatewayStopping();
        if (last && !_isDetached && (_isClientLost || callCancelled.IsCancellationRequested)) await CancelAsync("The client's connection ended before the job did.");
        if (listening.IsFaulted) await listening; // the client broke the protocol: that is the error to tell
        ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>2. What the client says while the job runs.</summary>
    private async Task ReadRequestsAsync(CancellationTokenSource callEnded)
    {
        try
        {
            while (await requests.ReadNextAsync(callEnded.Token)) await HandleRequestAsync(requests.Current, callEnded.Token);
            if (!_hasEnded && !_isDetached) await CancelAsync("The client ended its side of the stream before the job had ended.");
        }
        catch (Exception) when (!callEnded.IsCancellationRequested)
        {
            _isClientLost = true;
            await callEnded.CancelAsync();
            throw;
        }
    }

    private async Task HandleRequestAsync(RunRequest request, CancellationToken cancellationToken)
    {
        switch (request.KindCase)
        {
            case RunRequest.KindOneofCase.Local:
                await jobs.ReplyAsync(_jobId, request.Local, cancellationToken);
                break;
            case RunRequest.KindOneofCase.Cancel:
                await CancelAsync("The client cancelled it.");
                break;
            case RunRequest.KindOneofCase.Detach:
                _isDetached = true;
                logger.Detached(_jobId);
                break;
            case RunRequest.KindOneofCase.Submit:
                throw ServerErrors.SecondSubmission();
            case RunRequest.KindOneofCase.None:
            default:
                throw new NdifException(ServerErrors.MalformedMessage());
        }
    }

    /// <summary>3. Events as they come. WriteAsync returns when HTTP/2's flow control lets the bytes go.</summary>
    private async Task SendEventsAsync(CancellationToken cancellationToken)
    {
        using QueuePositionSubscriptions.QueuePositionSubscription seat = positionSubscriptions.Subscribe(_jobId);
        await foreach (Event happening in jobs.WatchAsync(_jobId, 1, cancellationToken))
        {
            seat.OnEventSent(happening);
            if (EventStreamWriter.IsFinalEvent(happening, out JobState state))
            {
                _hasEnded = true;
                logger.Ended(_jobId, state.ToString(), happening.Sequence);
            }
            try { await EventStreamWriter.WriteAsync(responses, happening, options.ReaderPatience, cancellationToken); }
            catch (Exception)
            {
                _isClientLost = true; // the call's token may not know it yet
                throw;
            }
        }
    }

    private async Task CancelAsync(string reason)
    {
        logger.Cancelling(_jobId, reason);
        await jobs.CancelAsync(_jobId, reason, CancellationToken.None); // the caller's token may be the reason
    }
}
