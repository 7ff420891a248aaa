namespace Ndif.Tests.Support;

/// <summary>Waits for a state by polling, where there is no notification.</summary>
public static class Poll
{
    /// <summary>Returns the first result that meets the condition.</summary>
    /// <param name="timeout">Null for <see cref="ChildProcess.WaitTimeout"/>.</param>
    /// <param name="describeFailure">More text for the exception, such as logs.</param>
    /// <exception cref="TimeoutException">No result met the condition in time; the message has the last one.</exception>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> read, Func<T, bool> condition, TimeSpan? timeout = null,
        Func<string>? describeFailure = null)
    {
        long deadline = Environment.TickCount64 + (long)(timeout ?? ChildProcess.WaitTimeout).TotalMilliseconds;
        using var interval = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            T answer = await read();
            if (condition(answer)) return answer;
            if (Environment.TickCount64 > deadline)
                throw new TimeoutException($"The condition was not met in time. The last answer: {answer}\n{describeFailure?.Invoke()}");
            await interval.WaitForNextTickAsync();
        }
    }
}
