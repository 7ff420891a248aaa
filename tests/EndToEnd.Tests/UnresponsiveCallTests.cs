using System.Diagnostics;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>
/// The thread of a model is in a native call that looks at no cancellation: it opens a constant on a disk that does not answer (a FIFO that
/// nobody writes to). Its supervisor starts the worker again.
/// </summary>
public sealed class UnresponsiveCallTests(ITestOutputHelper output) : IAsyncDisposable
{
    private readonly ServiceCluster _services = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed) output.WriteLine(_services.Report());
        return _services.DisposeAsync();
    }

    [Fact]
    public async Task AJobOverItsLimit_FailsByName_AndItsNeighboursRunAgain()
    {
        (Backend remote, _) = await StartAsync();
        Job suspect = await SubmitStuckJobAsync(remote);
        await using ChildProcess worker =
            await _services.StartSupervisedWorkerAsync("w1", "--wall-seconds", "3", "--unresponsive-seconds", "1");
        await WaitForCallAsync(suspect, worker);
        Job[] neighbours = [await SubmitAsync("prompt:1", remote), await SubmitAsync("generate:12", remote)];

        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(() => suspect.WaitAsync(Cancel));
        Assert.Equal(ErrorCode.JobTimeout, failure.Code);
        Assert.Contains("did not end when it was stopped", failure.Message, StringComparison.Ordinal);
        Assert.Contains("Experiments.cs", failure.ToString(), StringComparison.Ordinal);
        Assert.Equal(1u, (await suspect.GetAsync(Cancel)).Attempt);
        await AssertRanAgainAsync(worker, suspect, neighbours);
        Assert.Equal(0, await worker.TerminateAsync());
    }

    [Fact]
    public async Task AJobThatIsKilled_EndsItsWorkerAtOnce()
    {
        (Backend remote, Backend asOperator) = await StartAsync();
        Job suspect = await SubmitStuckJobAsync(remote);
        await using ChildProcess worker = await _services.StartSupervisedWorkerAsync("w1");
        await WaitForCallAsync(suspect, worker);
        Job neighbour = await SubmitAsync("prompt:1", remote);
        await WaitForRunningAsync(neighbour);

        await suspect.CancelAsync(Cancel); // it does not react
        long killed = Stopwatch.GetTimestamp();
        await AllJobs.KillAsync(suspect.Id, "It holds the model", asOperator, Cancel);
        await AssertRanAgainAsync(worker, suspect, [neighbour]);
        output.WriteLine($"the neighbour ended {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s after the kill");
        Assert.Equal(JobState.Cancelled, (await suspect.GetAsync(Cancel)).State);
    }

    [Fact]
    public async Task AWorkerThatStops_GivesItsJobsBack_AndDoesNotWaitForTheCall()
    {
        (Backend remote, _) = await StartAsync();
        Job suspect = await SubmitStuckJobAsync(remote);
        ChildProcess worker =
            await _services.StartSupervisedWorkerAsync("w1", "--grace-seconds", "0", "--unresponsive-seconds", "0.5");
        await WaitForCallAsync(suspect, worker);
        Assert.Equal(75, await worker.TerminateAsync());
        JobInfo info = await suspect.GetAsync(Cancel);
        Assert.True(info is { State: JobState.Queued, Attempt: 1 }, $"{info}");
    }

    [Fact]
    public async Task AWorkerThatWasDrained_IsNotStartedAgain()
    {
        (Backend remote, Backend asOperator) = await StartAsync();
        Job suspect = await SubmitStuckJobAsync(remote);
        ChildProcess worker =
            await _services.StartSupervisedWorkerAsync("w1", "--wall-seconds", "3", "--unresponsive-seconds", "1");
        await WaitForCallAsync(suspect, worker);
        await Deployments.DrainAsync("w1", asOperator, Cancel);
        Assert.Equal(0, await worker.WaitForExitAsync());
        Assert.Contains(worker.Lines, line => line.Contains("before it was drained: a native call did not end. It is not started again",
            StringComparison.Ordinal));
        Assert.Equal(JobState.Failed, (await suspect.GetAsync(Cancel)).State);
    }

    private static async Task AssertRanAgainAsync(ChildProcess worker, Job suspect, Job[] neighbours)
    {
        foreach (Job neighbour in neighbours)
        {
            await neighbour.WaitAsync(Cancel);
            JobInfo info = await neighbour.GetAsync(Cancel);
            Assert.True(info is { State: JobState.Completed, Attempt: <= 2 }, $"{info}"); // 1 if it came after the restart
        }
        Assert.True(worker.IsAlive);
        Assert.Contains(worker.Lines, line => line.Contains($"Job {suspect.Id} of", StringComparison.Ordinal)
            && line.Contains("does not end: ", StringComparison.Ordinal));
        Assert.Contains(worker.Lines, line => line.Contains("a native call did not end", StringComparison.Ordinal));
    }

    /// <summary>Waits until the job is at the statement that uses the constant, and sleeps in the call.</summary>
    private static async Task WaitForCallAsync(Job job, ChildProcess supervisor)
    {
        await foreach (JobEvent jobEvent in job.Events(cancellationToken: Cancel))
            if (jobEvent.Raw.Log is not null) break;
        const int Samples = 5; // a thread that is about to call is runnable in one of these
        for (int sleeping = 0; sleeping < Samples; sleeping = IsWorkerSleeping(supervisor) ? sleeping + 1 : 0)
            await Task.Delay(50, Cancel);
    }

    /// <summary>Whether no thread of the worker, the child of its supervisor, is runnable.</summary>
    private static bool IsWorkerSleeping(ChildProcess supervisor)
    {
        string worker = File.ReadAllText($"/proc/{supervisor.Id}/task/{supervisor.Id}/children").Trim();
        try
        {
            return Directory.EnumerateDirectories($"/proc/{worker}/task")
                .All(thread => !File.ReadAllText($"{thread}/stat").Contains(") R ", StringComparison.Ordinal));
        }
        catch (IOException) // a thread has ended meanwhile
        {
            return false;
        }
    }

    private static Task<JobInfo> WaitForRunningAsync(Job job) =>
        Poll.UntilAsync(() => job.GetAsync(Cancel), info => info.State == JobState.Running);

    /// <summary>Submits a job with a constant, and replaces the file of the constant by a FIFO.</summary>
    private async Task<Job> SubmitStuckJobAsync(Backend remote)
    {
        Job job = await SubmitAsync("logged", remote);
        string blob = Directory.EnumerateFiles(Path.Combine(_services.DataFolder, "blobs"), "*", SearchOption.AllDirectories)
            .MaxBy(file => new FileInfo(file).Length)!;
        File.Delete(blob);
        using Process make = Process.Start("mkfifo", [blob]);
        await make.WaitForExitAsync(Cancel);
        return job;
    }

    private async Task<(Backend Remote, Backend AsOperator)> StartAsync()
    {
        await _services.StartRedisAsync();
        string address = (await _services.StartGatewayProcessAsync()).Grpc.ToString();
        await using (ChildProcess first = await _services.StartWorkerProcessAsync("first")) // describes the model
            await first.TerminateAsync();
        return (Backend.At(address, await _services.CreateKeyAsync("user")),
            Backend.At(address, await _services.CreateKeyAsync("operator", "--operator")));
    }

    private static async Task<Job> SubmitAsync(string experiment, Backend remote)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, remote);
        return await recorded.Trace.SubmitAsync(Cancel);
    }
}
