namespace Ndif.EndToEnd;

/// <summary>For what nobody tells: asked again and again until it is so.</summary>
internal static class Poll
{
    public static async Task<T> UntilAsync<T>(Func<Task<T>> read, Func<T, bool> condition, TimeSpan? timeout = null)
    {
        long deadline = Environment.TickCount64 + (long)(timeout ?? ChildProcess.WaitTimeout).TotalMilliseconds;
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (true)
        {
            T answer = await read();
            if (condition(answer)) return answer;
            if (Environment.TickCount64 > deadline) Assert.Fail($"In time it did not become what was waited for; the last answer was: {answer}");
            await tick.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }
}
