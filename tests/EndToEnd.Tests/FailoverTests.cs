using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// Redis with a replica and a sentinel, configured by `--redis sentinel:port,serviceName=NAME`: no job is lost if the server fails.
/// </summary>
public sealed class FailoverTests(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly ReplicatedCluster _cluster = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => _cluster.InitializeAsync();

    public ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed) output.WriteLine(_cluster.Report());
        return _cluster.DisposeAsync();
    }

    [Fact]
    public async Task AllJobsEnd_AndNewOnesRun_WhenTheCopyTakesOver()
    {
        Job[] jobs = await Task.WhenAll(Enumerable.Range(0, 6).Select(i => SubmitAsync(i < 2 ? "slow:600" : $"prompt:{i}")));
        await Poll.UntilAsync(() => jobs[0].GetAsync(Cancel), job => job.State == JobState.Running);
        _cluster.Server.Kill();
        await _cluster.Sentinel.WaitForLineAsync(line => line.Contains("+switch-master", StringComparison.Ordinal),
            "that the copy took over");
        foreach (Job job in jobs)
        {
            JobInfo ended = await Poll.UntilAsync(() => TryGetAsync(job), info => info?.State.IsTerminal() == true)
                ?? throw new InvalidOperationException();
            Assert.True(ended.State == JobState.Completed, $"{ended}");
        }
        Job late = await SubmitAsync("prompt:7");
        await late.WaitAsync(Cancel);
        Assert.NotEmpty(late.Results);
    }

    private async Task<Job> SubmitAsync(string experiment)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, _cluster.Remote);
        return await recorded.Trace.SubmitAsync(Cancel);
    }

    /// <summary>Gets a job from the service; null while the service cannot be reached.</summary>
    private static async Task<JobInfo?> TryGetAsync(Job job)
    {
        try
        {
            return await job.GetAsync(Cancel);
        }
        catch (NdifException e) when (e.Retryable)
        {
            return null;
        }
    }

    private sealed class ReplicatedCluster : TestCluster
    {
        public ChildProcess Server { get; private set; } = null!;

        public ChildProcess Sentinel { get; private set; } = null!;

        protected override async Task StartStorageAsync()
        {
            (Server, ChildProcess replica, Sentinel, RedisAddress) = await RedisProcess.StartWithSentinelAsync(Folder);
            Add(Server);
            Add(replica);
            Add(Sentinel);
        }
    }
}
