using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Remote;

/// <summary>
/// Sends a submission again that the service has refused for a limit of the key which passes with time: jobs a minute, jobs at once, places
/// in the queue. It waits as long as the refusal says (<see cref="NdifConfig.MaxWaitForQuota"/>). Submissions of one key that wait take
/// turns, so that the service gets one attempt at a time.
/// </summary>
internal sealed class SubmissionPacer : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private long _resumeAt;
    private int _waiting, _hasWarned;

    /// <summary>Submits until the service accepts.</summary>
    /// <param name="submit">Submits, and calls its argument as soon as the service has accepted.</param>
    /// <param name="onWarning">Receives one warning when a submission of the key waits for the first time.</param>
    /// <exception cref="NdifException">The submission was refused, and waiting does not help or is not wanted.</exception>
    public async Task RunAsync(Func<Action, Task> submit, Action<string> onWarning, CancellationToken cancellationToken)
    {
        TimeSpan waitLimit = NdifConfig.MaxWaitForQuota;
        long from = Environment.TickCount64;
        bool hasTurn = false;
        try
        {
            // those that wait already come first
            if (Volatile.Read(ref _waiting) > 0) await EnterAsync();
            while (true)
            {
                try
                {
                    await submit(Leave);
                    return;
                }
                catch (NdifException refusal) when (refusal.Code is ErrorCode.QuotaExceeded && refusal.Error.RetryAfterSeconds > 0)
                {
                    var delay = TimeSpan.FromSeconds(refusal.Error.RetryAfterSeconds);
                    if (Environment.TickCount64 - from + delay.TotalMilliseconds > waitLimit.TotalMilliseconds) throw;
                    InterlockedMax(ref _resumeAt, Environment.TickCount64 + (long)delay.TotalMilliseconds);
                    if (Interlocked.Exchange(ref _hasWarned, 1) == 0) onWarning(Describe(refusal, delay));
                    if (!hasTurn) await EnterAsync();
                    await Task.Delay((int)Math.Max(0, _resumeAt - Environment.TickCount64), cancellationToken);
                }
            }
        }
        finally
        {
            Leave();
        }

        async Task EnterAsync()
        {
            Interlocked.Increment(ref _waiting);
            try
            {
                await _turn.WaitAsync(cancellationToken);
                hasTurn = true;
            }
            finally
            {
                if (!hasTurn) Interlocked.Decrement(ref _waiting);
            }
        }

        void Leave()
        {
            if (!hasTurn) return;
            hasTurn = false;
            Interlocked.Decrement(ref _waiting);
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private static string Describe(NdifException refusal, TimeSpan delay) => string.Create(CultureInfo.InvariantCulture,
        $"{refusal.Error.Message} Submissions wait until the service takes them ({delay.TotalSeconds:0} s now). "
        + $"Several traces of one session are one job.");

    private static void InterlockedMax(ref long target, long value)
    {
        for (long current = Volatile.Read(ref target); current < value;)
        {
            long seen = Interlocked.CompareExchange(ref target, value, current);
            if (seen == current) return;
            current = seen;
        }
    }
}
