namespace Ndif.EndToEnd;

/// <summary>For what nobody tells: asked again and again until it is so.</summary>
internal static class Poll
{
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isSo, TimeSpan? within = null)
    {
        long deadline = Environment.TickCount64 + (long)(within ?? Child.Patience).TotalMilliseconds;
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (true)
        {
            T answer = await ask();
            if (isSo(answer)) return answer;
            if (Environment.TickCount64 > deadline) Assert.Fail($"In time it did not become what was waited for; the last answer was: {answer}");
            await tick.WaitForNextTickAsync(TestContext.Current.CancellationToken);
        }
    }
}
