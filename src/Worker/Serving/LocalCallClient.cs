using System.Diagnostics;
using Ndif.Engine;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Protocol;
using Ndif.Queue;

namespace Ndif.Worker.Serving;

/// <summary>The local calls of a job: functions of its client that run there, while the job waits for their answers.</summary>
/// <param name="longest">The longest wait for an answer.</param>
internal sealed class LocalCallClient(
    Lease lease, IJobQueue jobs, JobEventPublisher events, JobTensorStore tensors, ExecutionTimer executionTimer, TimeSpan longest,
    CancellationToken cancelled)
{
    private static readonly TimeSpan _poll = TimeSpan.FromMilliseconds(1);

    private ulong _lastTicket;

    /// <summary>
    /// Sends a local request as an event of the job, and waits for the reply of a client that follows the job on a Run call.
    /// </summary>
    /// <param name="runOthers">Lets the other jobs of the model go on.</param>
    public Data Invoke(uint callback, IReadOnlyList<object?> values, TimeSpan timeout, OperationLimits limits, Action? runOthers)
    {
        TimeSpan limit = timeout < longest ? timeout : longest;
        var request = new LocalRequest
        {
            Callback = callback, Ticket = ((ulong)lease.Token << 20) + ++_lastTicket, TimeoutSeconds = limit.TotalSeconds,
            Values = { values.Select(v => ValueSerializer.Serialize(v, tensors.Store)) },
        };
        events.Enqueue(new Event { Local = request });
        LocalReply? reply = WaitWhileOthersRun(AwaitReplyAsync(request.Ticket, limit), runOthers);
        if (reply is null)
            throw Errors.CreateException(
                ErrorCode.LocalCallFailed, $"The client did not answer a local call within {limit.TotalSeconds:0.###} s.",
                "The forward pass waits for the answer. Answer sooner, or pass a longer timeout, up to the limit of the service. "
                + "A job that no client follows cannot make local calls.");
        if (reply.Error is { } error) throw Errors.ToException(error);
        tensors.ResolveAsync(reply.Value ?? new Data(), limits).GetAwaiter().GetResult();
        return reply.Value ?? new Data();
    }

    /// <summary>Waits on the thread of the model, on which the other jobs go on meanwhile: a job that waits holds no model.</summary>
    private LocalReply? WaitWhileOthersRun(Task<LocalReply?> reply, Action? runOthers)
    {
        int sharers = executionTimer.StartWaiting(); // counts for the limit, and is not charged
        try
        {
            while (Task.WaitAny([reply], _poll) < 0) runOthers?.Invoke();
            return reply.GetAwaiter().GetResult();
        }
        finally
        {
            executionTimer.Stop();
            if (sharers > 0) executionTimer.Start(sharers);
        }
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
