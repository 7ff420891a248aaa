using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// A worker in a native call that looks at no cancellation: a backward pass that takes seconds. Its supervisor starts it again.
/// </summary>
public sealed class UnresponsiveCallTests(ITestOutputHelper output) : IAsyncDisposable
{
    private const string LongBackward = "backward:2000";

    private readonly ServiceCluster _services = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed) output.WriteLine(_services.Report());
        return _services.DisposeAsync();
    }

    [Fact]
    public async Task ACancelledJobThatDoesNotEnd_EndsItsWorker_AndItsNeighboursRunAgain()
    {
        (Backend remote, _, _) = await StartAsync();
        await using ChildProcess worker = await _services.StartSupervisedWorkerAsync("w1", "--unresponsive-seconds", "0.5");
        Job suspect = await SubmitAsync(LongBackward, remote);
        await WaitForBackwardAsync(suspect);
        Job[] neighbours = [await SubmitAsync("prompt:1", remote), await SubmitAsync("generate:12", remote)];
        foreach (Job neighbour in neighbours)
            await Poll.UntilAsync(() => neighbour.GetAsync(Cancel), info => info.State == JobState.Running);
        await suspect.CancelAsync(Cancel);

        foreach (Job neighbour in neighbours)
        {
            await neighbour.WaitAsync(Cancel);
            JobInfo info = await neighbour.GetAsync(Cancel);
            Assert.True(info is { State: JobState.Completed, Attempt: 2 }, $"{info}");
        }
        Assert.True(worker.IsAlive);
        Assert.Contains(worker.Lines, line => line.Contains("the backward pass on ndif/tiny-landmarks", StringComparison.Ordinal)
            && line.Contains(suspect.Id, StringComparison.Ordinal));
        Assert.Contains(worker.Lines, line => line.Contains("a native call did not end", StringComparison.Ordinal));
        Assert.Equal(0, await worker.TerminateAsync());
    }

    [Fact]
    public async Task AJobThatIsKilled_EndsItsWorkerAtOnce()
    {
        (Backend remote, string operatorKey, GatewayProcess gateway) = await StartAsync();
        await using ChildProcess worker = await _services.StartSupervisedWorkerAsync("w1");
        Job deaf = await SubmitAsync(LongBackward, remote);
        await WaitForBackwardAsync(deaf);
        Job neighbour = await SubmitAsync("prompt:1", remote);
        await Poll.UntilAsync(() => neighbour.GetAsync(Cancel), info => info.State == JobState.Running);

        await deaf.CancelAsync(Cancel); // does not react
        long killed = Stopwatch.GetTimestamp();
        await using (ChildProcess kill = _services.StartTool(
            "jobs", "kill", deaf.Id, "--reason", "It holds the model", "--host", gateway.Grpc.ToString(), "--key", operatorKey))
            Assert.Equal(0, await kill.WaitForExitAsync());
        await neighbour.WaitAsync(Cancel);
        output.WriteLine($"the neighbour ended {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s after the kill");
        Assert.Equal(2u, (await neighbour.GetAsync(Cancel)).Attempt);
        Assert.Equal(JobState.Cancelled, (await deaf.GetAsync(Cancel)).State);
        Assert.Contains(worker.Lines, line => line.Contains("a native call did not end", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AWorkerThatStops_GivesItsJobsBack_AndDoesNotWaitForTheCall()
    {
        (Backend remote, _, _) = await StartAsync();
        ChildProcess worker =
            await _services.StartSupervisedWorkerAsync("w1", "--grace-seconds", "0", "--unresponsive-seconds", "0.5");
        Job deaf = await SubmitAsync(LongBackward, remote);
        await WaitForBackwardAsync(deaf);
        long stopped = Stopwatch.GetTimestamp();
        Assert.Equal(75, await worker.TerminateAsync());
        output.WriteLine($"stopped after {Stopwatch.GetElapsedTime(stopped).TotalSeconds:0.0} s");
        JobInfo info = await deaf.GetAsync(Cancel);
        Assert.True(info is { State: JobState.Queued, Attempt: 1 }, $"{info}");
    }

    /// <summary>Waits until the job has logged that its backward passes begin.</summary>
    private static async Task WaitForBackwardAsync(Job job)
    {
        await foreach (JobEvent jobEvent in job.Events(cancellationToken: Cancel))
            if (jobEvent.Raw.Log is not null) return;
    }

    private async Task<(Backend Remote, string OperatorKey, GatewayProcess Gateway)> StartAsync()
    {
        await _services.StartRedisAsync();
        GatewayProcess gateway = await _services.StartGatewayProcessAsync();
        return (Backend.At(gateway.Grpc.ToString(), await _services.CreateKeyAsync("user")),
            await _services.CreateKeyAsync("operator", "--operator"), gateway);
    }

    private static async Task<Job> SubmitAsync(string experiment, Backend remote)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, remote);
        return await recorded.Trace.SubmitAsync(Cancel);
    }
}
