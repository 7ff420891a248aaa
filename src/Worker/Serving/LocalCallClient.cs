using System.Diagnostics;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>The local calls of a job: functions of its client that run there, while the job waits for their answers.</summary>
/// <param name="longest">The longest wait for an answer.</param>
internal sealed class LocalCallClient(
    Lease lease, IJobQueue jobs, JobEventPublisher events, JobTensorStore tensors, TimeSpan longest, CancellationToken cancelled)
{
    /// <summary>The characters of a client's error that the job keeps.</summary>
    private const int MaxErrorLength = 4000;

    private ulong _lastTicket;

    /// <summary>
    /// Sends a local request as an event of the job, and waits for the reply of a client that follows the job on a Run call.
    /// </summary>
    public Data Invoke(JobRun run, uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout)
    {
        TimeSpan limit = timeout < longest ? timeout : longest;
        events.WaitForRoom(run);
        // its values are not changed while it waits
        (Data arguments, ValueBlobs? blobs) = tensors.Store(run, node, values.ToList(), isFinal: true);
        tensors.WaitForWrites(run); // the client's time begins when the request is sent
        var request = new LocalRequest
        {
            Callback = callback, Ticket = ((ulong)lease.Token << 20) + ++_lastTicket, TimeoutSeconds = limit.TotalSeconds,
            Values = { arguments.List.Items },
        };
        events.Enqueue(new Event { Local = request }, blobs);
        Task<LocalReply?> replying = AwaitReplyAsync(request.Ticket, limit);
        run.WaitWhileOthersRun(replying, canLeave: false);
        LocalReply? reply = replying.GetAwaiter().GetResult();
        if (reply is null)
            throw Errors.CreateException(
                ErrorCode.LocalCallFailed, $"The client did not answer a local call within {limit.TotalSeconds:0.###} s.",
                "The forward pass waits for the answer. Answer sooner, or pass a longer timeout, up to the limit of the service. "
                + "A job that no client follows cannot make local calls.");
        if (reply.Error is { } error) // the code, node and line are the worker's: the client may write anything there
            throw Errors.CreateException(ErrorCode.LocalCallFailed, ErrorText.Truncate(error.Message, MaxErrorLength),
                ErrorText.Truncate(error.Hint, MaxErrorLength));
        Data answer = reply.Value ?? new Data();
        tensors.Resolve(run, answer);
        return answer;
    }

    /// <summary>Waits for a reply. While the queue cannot be reached, the time does not count.</summary>
    private async Task<LocalReply?> AwaitReplyAsync(ulong ticket, TimeSpan limit)
    {
        for (long started = Stopwatch.GetTimestamp(); ;)
        {
            try
            {
                TimeSpan left = limit - Stopwatch.GetElapsedTime(started);
                return await jobs.AwaitReplyAsync(lease, ticket, left > TimeSpan.Zero ? left : TimeSpan.Zero, cancelled);
            }
            catch (NdifException e) when (FailureBackoff.IsPassing(e))
            {
                long failed = Stopwatch.GetTimestamp();
                await Task.Delay(TimeSpan.FromMilliseconds(200), cancelled);
                started += Stopwatch.GetTimestamp() - failed;
            }
        }
    }
}
