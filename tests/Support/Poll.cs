namespace Ndif.Tests.Support;

/// <summary>Waits for a state that nothing announces, by asking for it again and again.</summary>
public static class Poll
{
    /// <summary>The first answer that meets the condition.</summary>
    /// <param name="timeout">Null for <see cref="ChildProcess.WaitTimeout"/>.</param>
    /// <param name="describeFailure">More text for the exception, such as logs.</param>
    /// <exception cref="TimeoutException">No answer met the condition in time; the message shows the last one.</exception>
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
