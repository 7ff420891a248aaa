using System.Collections.Concurrent;
using System.Diagnostics;
using Ndif.Tests.Support.Service;

namespace Ndif.Language.Tests;

/// <summary>The phases of a remote run add up to the time that its client measures, and their spans form one distributed trace.</summary>
public sealed class TimingsTests(LoopbackFixture loopback) : IClassFixture<LoopbackFixture>
{
    private const int Runs = 21;

    [Theory]
    [InlineData(0)]
    [InlineData(24)]
    public async Task ThePhases_AddUpToTheClientsTime(int newTokens)
    {
        List<double> parts = [];
        RunTimings? last = null;
        for (int i = 0; i < Runs; i++)
        {
            long from = Stopwatch.GetTimestamp();
            last = (await RunAsync(newTokens)).Timings!;
            double waited = Stopwatch.GetElapsedTime(from).TotalSeconds;
            if (i > 2) parts.Add(last.Phases.Sum(phase => phase.Time.TotalSeconds) / last.Total.TotalSeconds);
            Assert.True(last.Total.TotalSeconds <= waited);
        }
        parts.Sort();
        Assert.Equal(["send", "queue", "load", "wait", "compile", "run", "save", "end", "deliver"],
            last!.Phases.Select(phase => phase.Phase));
        Assert.All(last.Phases, phase => Assert.True(phase.Time >= TimeSpan.Zero, last.ToString()));
        Assert.InRange(parts[parts.Count / 2], 0.95, 1.05);
        Assert.True(newTokens == 0 || last.Phases.Single(phase => phase.Phase == "run").Time > last.Total / 3, last.ToString());
    }

    [Fact]
    public async Task ARun_IsOneTrace_FromTheClientToTheWorkersPhases()
    {
        ConcurrentQueue<Activity> stopped = [];
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name.StartsWith("Ndif.", StringComparison.Ordinal),
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = stopped.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        using var outer = new Activity("a user's program").Start();

        Trace trace = await RunAsync(4);

        // the worker ends its span after it has published the job's end
        await Poll.UntilAsync(() => Task.FromResult(stopped.Any(a => a.TraceId == outer.TraceId && a.OperationName == "job")),
            ended => ended);
        Activity[] spans = [.. stopped.Where(activity => activity.TraceId == outer.TraceId)];
        Assert.Equal(["compile", "deliver", "end", "job", "queue", "queue submit", "request", "run", "run", "send", "validate", "wait"],
            spans.Select(span => span.OperationName).Where(name => name is not "request").Append("request").Order(StringComparer.Ordinal));
        Activity run = spans.Single(span => span.OperationName == "run" && span.Source.Name == "Ndif.Client"),
            job = spans.Single(span => span.OperationName == "job");
        Assert.Equal(outer.SpanId, run.ParentSpanId);
        Assert.All(spans.Where(span => span.Source.Name == "Ndif.Worker" && span != job),
            span => Assert.Equal(job.SpanId, span.ParentSpanId));
        Assert.Equal(spans.Single(span => span.OperationName == "queue submit").SpanId, job.ParentSpanId);
        Assert.Equal(trace.Timings!.Phases.Single(phase => phase.Phase == "compile").Time.TotalSeconds,
            spans.Single(span => span.OperationName == "compile").Duration.TotalSeconds, 1e-4);
    }

    [Fact]
    public async Task ALocalRun_HasThePhasesOfARemoteOne()
    {
        foreach (Backend backend in (Backend[])[Backend.Local, Backend.Loopback])
        {
            var llm = new LanguageModel("ndif/tiny-landmarks", remote: backend);
            using Trace trace = llm.Generate("Big Ben is in the city of", 8, new() { IgnoreEos = true });
            trace.Result.Save();
            await trace.RunAsync(TestContext.Current.CancellationToken);
            RunTimings timings = trace.Timings!;
            Assert.Equal(["send", "queue", "load", "wait", "compile", "run", "save", "end", "deliver"],
                timings.Phases.Select(phase => phase.Phase));
            Assert.All(timings.Phases, phase => Assert.True(phase.Time >= TimeSpan.Zero, timings.ToString()));
            Assert.Equal(TimeSpan.Zero, timings.Phases.Single(phase => phase.Phase == "queue").Time);
            Assert.InRange(timings.Phases.Sum(phase => phase.Time.TotalSeconds) / timings.Total.TotalSeconds, 0.95, 1.05);
            Assert.True(timings.Phases.Single(phase => phase.Phase == "run").Time > TimeSpan.Zero, timings.ToString());
        }
    }

    private async Task<Trace> RunAsync(int newTokens)
    {
        var llm = new LanguageModel("ndif/tiny-landmarks", remote: Backend.At(loopback.Service.Address.ToString(), loopback.Service.Key));
        using Trace trace = newTokens > 0 ? llm.Generate("Big Ben is in the city of", newTokens, new() { IgnoreEos = true })
            : llm.Trace(Enumerable.Range(1, 100).ToArray());
        if (newTokens > 0) trace.Result.Save();
        else llm.Layers[^1].Hidden.Save();
        await trace.RunAsync(TestContext.Current.CancellationToken);
        return trace;
    }
}

/// <summary>A service in this process that the tests of a class share.</summary>
public sealed class LoopbackFixture : IAsyncLifetime
{
    internal LoopbackService Service { get; private set; } = null!;

    public async ValueTask InitializeAsync() =>
        Service = await LoopbackService.StartAsync("ndif/tiny-landmarks", TestContext.Current.CancellationToken);

    public ValueTask DisposeAsync() => Service.DisposeAsync();
}
