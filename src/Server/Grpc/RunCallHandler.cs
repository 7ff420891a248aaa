using System.Runtime.ExceptionServices;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Admission;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;

namespace Ndif.Server.Grpc;

/// <summary>
/// Handles one `Run` call, a bidirectional stream on which a job is submitted and followed:
/// <code>
///   client ── submit ──────────> (1) admission ──> queue
///          ── local, cancel ───> (2) read      ──> queue
///          &lt;───────── events ── (3) send      &lt;── queue
///                               (4) end
/// </code>
/// 1. The first message is the submission, which is validated and queued.
/// 2. Further messages are handled while the job runs: replies to local requests, cancel, detach. The memory of each is given back then.
/// 3. The events of the job are sent one at a time, so that a slow client delays only itself.
/// 4. The call ends with the job, with the client or with the gateway. The job belongs to those who follow it: if the client ends its side,
///    or the connection is lost, before the job has ended, the job is cancelled, unless the client has sent `detach` or somebody follows
///    the job on another stream of any gateway. A gateway that shuts down, or cannot take a message at the moment, cancels no job; the
///    error tells the client to return to it.
/// </summary>
internal sealed class RunCallHandler(
    Caller caller, IAsyncStreamReader<RunRequest> requests, IServerStreamWriter<Event> responses,
    JobAdmissionService admissionService, IJobQueue jobs, RunStreamTracker runStreams, QueuePositionSubscriptions positionSubscriptions,
    GatewayOptions options, ILogger logger)
{
    private string _jobId = "";
    private int _hasLeft;
    private volatile bool _isDetached;
    private volatile bool _hasEnded;
    private volatile bool _isClientLost;

    /// <param name="gatewayStopping">Cancelled when the gateway shuts down.</param>
    /// <param name="callCancelled">Cancelled when the client has disconnected or its deadline has passed.</param>
    public async Task RunAsync(CancellationToken gatewayStopping, CancellationToken callCancelled)
    {
        // 1. Submit.
        bool hasMessage = await requests.ReadNextAsync(options.RequestTimeout, callCancelled);
        if (RequestScope.Current is { } request) await request.TakeTurnIfLargeAsync(callCancelled);
        if (!hasMessage || requests.Current.KindCase != RunRequest.KindOneofCase.Submit) throw ServerErrors.NoSubmission();
        if (requests.Current.Submit.DryRun) throw ServerErrors.DryRunOnRun();
        _jobId = (await admissionService.SubmitAsync(caller, requests.Current.Submit, callCancelled)).Job.Id;
        // The stream stays open while the job runs, and the reader keeps its current message.
        (requests.Current.Submit.Program, requests.Current.Submit.ReceivedProgram) = (null, default);
        RequestScope.Current?.Release();
        using IDisposable? scope = logger.BeginScope(new Dictionary<string, object> { ["JobId"] = _jobId });

        await runStreams.AddAsync(_jobId);
        using var callEnded = CancellationTokenSource.CreateLinkedTokenSource(callCancelled, gatewayStopping);
        Task reading = ReadRequestsAsync(callEnded); // 2
        Exception? failure = null;
        try { await SendEventsAsync(callEnded.Token); } // 3
        catch (Exception cause) { failure = cause; }

        // 4. End.
        await callEnded.CancelAsync();
        await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        bool isClientGone = failure is not null && !_hasEnded && !gatewayStopping.IsCancellationRequested
            && (_isClientLost || callCancelled.IsCancellationRequested);
        await LeaveAsync(isClientGone && !_isDetached ? "The connection of the client ended before the job did." : null);
        if (_hasEnded || failure is null) return;
        if (gatewayStopping.IsCancellationRequested) throw ServerErrors.GatewayStopping();
        if (reading.IsFaulted) await reading; // a protocol error of the client has precedence
        ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>2. Handles the messages of the client until it ends its side of the stream.</summary>
    private async Task ReadRequestsAsync(CancellationTokenSource callEnded)
    {
        try
        {
            while (await requests.ReadNextAsync(callEnded.Token))
            {
                RunRequest request = requests.Current;
                await HandleRequestAsync(request, callEnded.Token);
                request.Local = null; // the reader keeps its current message
                RequestScope.Current?.Release();
            }
            if (!_hasEnded && !_isDetached) 
                await LeaveAsync("The client ended its side of the stream before the job had ended.");
        }
        catch (Exception cause) when (!callEnded.IsCancellationRequested)
        {
            Error? refusal = FindRefusal(cause);
            _isClientLost = refusal is null;
            await callEnded.CancelAsync();
            if (refusal is not null) throw ServerErrors.MessageNotTaken(refusal);
            throw;
        }
    }

    /// <summary>
    /// The error with which the gateway or its queue refuses a message for now; null if there is none. The client is there, and sends the
    /// message again on another stream.
    /// </summary>
    private static Error? FindRefusal(Exception cause) =>
        (cause is RpcException decoding ? ErrorWireFormat.FindError(decoding) : (cause as NdifException)?.Error)
            is { Code: ErrorCode.Unavailable } refusal ? refusal : null;

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
                await runStreams.DetachAsync(_jobId);
                logger.Detached(_jobId);
                break;
            case RunRequest.KindOneofCase.Submit:
                throw ServerErrors.SecondSubmission();
            case RunRequest.KindOneofCase.None:
            default:
                throw new NdifException(ServerErrors.MalformedMessage());
        }
    }

    /// <summary>3. Sends the events of the job, each one when HTTP/2 flow control has accepted the previous one.</summary>
    private async Task SendEventsAsync(CancellationToken cancellationToken)
    {
        using QueuePositionSubscriptions.QueuePositionSubscription positions = positionSubscriptions.Subscribe(_jobId);
        await foreach (Event jobEvent in jobs.WatchAsync(_jobId, 1, cancellationToken))
        {
            positions.OnEventSent(jobEvent);
            if (EventStreamWriter.IsFinalEvent(jobEvent, out JobState state))
            {
                _hasEnded = true;
                logger.Ended(_jobId, state.ToString(), jobEvent.Sequence);
            }
            try { await EventStreamWriter.WriteAsync(responses, jobEvent, options.StalledReaderTimeout, cancellationToken); }
            catch (Exception) when (!cancellationToken.IsCancellationRequested)
            {
                _isClientLost = true; // the token of the call may not be cancelled yet
                throw;
            }
        }
    }

    /// <summary>Ends the part of this stream in following the job, once.</summary>
    /// <param name="reason">Why the job is cancelled if nobody else follows it; null to let it go on.</param>
    private Task LeaveAsync(string? reason)
    {
        if (Interlocked.Exchange(ref _hasLeft, 1) != 0) return Task.CompletedTask;
        return reason is null ? runStreams.RemoveAsync(_jobId) : runStreams.LeaveAsync(_jobId, reason);
    }

    private async Task CancelAsync(string reason)
    {
        logger.Cancelling(_jobId, reason);
        await jobs.CancelAsync(_jobId, reason, CancellationToken.None); // not the token of the call, whose cancellation may be the reason
    }
}
