namespace Ndif.EndToEnd.Client;

/// <summary>Uses a service from many threads of the thread pool, so that it has none left when the first connection is made.</summary>
public static class FullThreadPool
{
    /// <param name="use">
    /// <c>describe</c>: all read the modules of one model; <c>models</c>: each reads those of a model of its own; <c>run</c>: each runs a
    /// trace and waits for it; <c>busy</c>: they work on something else for 15 s, while one trace runs.
    /// </param>
    public static async Task RunAsync(string use, int threads)
    {
        LanguageModel shared = new(Experiments.Model, remote: Backend.Remote);
        Action[] actions = use switch
        {
            "describe" => [.. Enumerable.Repeat(() => Describe(shared), threads)],
            "models" => [.. Enumerable.Repeat(() => Describe(new LanguageModel(Experiments.Model, remote: Backend.Remote)), threads)],
            "run" => [.. Enumerable.Repeat(RunTrace, threads)],
            "busy" => [RunTrace, .. Enumerable.Repeat(() => Thread.Sleep(TimeSpan.FromSeconds(15)), threads)],
            _ => throw new ArgumentException($"There is no use `{use}`."),
        };
        await Task.WhenAll(actions.Select(Task.Run));
    }

    private static void Describe(LanguageModel llm) => ArgumentOutOfRangeException.ThrowIfZero(llm.Layers.Count);

    private static void RunTrace()
    {
        using RecordedExperiment recorded = Experiments.Record("prompt:1", Backend.Remote);
        recorded.Trace.Run();
    }
}
