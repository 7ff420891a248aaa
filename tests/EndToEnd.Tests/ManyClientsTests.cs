namespace Ndif.EndToEnd.Tests;

public sealed class ManyClientsTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const int Clients = 8, JobsPerClient = 4;

    [Fact]
    public async Task JobsOfManyClients_GiveWhatTheyGiveAlone_WhoeverTheyAreBatchedWith()
    {
        var alone = new IReadOnlyDictionary<string, TensorData>[Clients];
        for (int i = 0; i < Clients; i++) alone[i] = await RunAsync(GetExperiment(i), Backend.Local);
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async client =>
        {
            for (int i = 0; i < JobsPerClient; i++)
            {
                int which = (client + i) % Clients;
                AssertSame(alone[which], await RunAsync(GetExperiment(which), Cluster.Remote), GetExperiment(which));
            }
        }));
    }

    [Fact]
    public async Task JobsOfManyProcesses_AreSharedByBothWorkers()
    {
        // A busy worker lets an idle one lease first, for some milliseconds: on a busy machine not each of these jobs runs on the other.
        await using ChildProcess first = Cluster.StartClient(Cluster.Key, "run", "endless"); // its end cancels the job
        string busy = (await first.WaitForStateAsync(Protocol.JobState.Running)).Worker;
        await using ChildProcess second = Cluster.StartClient(Cluster.Key, "run", "prompt:1", "8");
        await second.WaitForMessageAsync(
            message => message.State is Protocol.JobState.Running && message.Worker != busy, "a job on the other worker");
        Assert.Equal("end", (await second.ReadAllMessagesAsync())[^1].Kind);
    }

    [Fact]
    public async Task AJobThatFails_TakesNoOtherOfItsBatchWithIt()
    {
        // while both workers are busy, these jobs wait, and the first free worker leases them together
        Job[] busy = [await RunningAsync(LongJob), await RunningAsync(LongJob)];
        string[] experiments = ["prompt:3", "late", "states", "shape", "edit", "index", "poison", "prompt:4"];
        await Task.WhenAll(experiments.Select(async experiment =>
        {
            if (experiment is "late" or "shape" or "index" or "poison")
            {
                Exception here = await Assert.ThrowsAnyAsync<Exception>(() => RunAsync(experiment, Backend.Local));
                Exception there = await Assert.ThrowsAnyAsync<Exception>(() => RunAsync(experiment, Cluster.Remote));
                Assert.Equal(here.Message, there.Message);
            }
            else
            {
                AssertSame(await RunAsync(experiment, Backend.Local), await RunAsync(experiment, Cluster.Remote), experiment);
            }
        }));
        foreach (Job job in busy) await job.WaitAsync(Cancel);
        Assert.Contains(Cluster.Workers.Values.SelectMany(worker => worker.Lines),
            line => line.Contains("one of ", StringComparison.Ordinal) && !line.Contains("one of 1 ", StringComparison.Ordinal));
    }

    private async Task<Job> RunningAsync(string experiment)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, Cluster.Remote);
        Job job = await recorded.Trace.SubmitAsync(Cancel);
        await foreach (JobEvent jobEvent in job.Events(cancellationToken: Cancel))
            if (jobEvent.State is Protocol.JobState.Running) return job;
        throw new InvalidOperationException("The job did not run.");
    }

    private static string GetExperiment(int number) =>
        number switch { 0 => "generate:20", 1 => "edit", 2 => "states", _ => $"prompt:{number}" };

    private static async Task<IReadOnlyDictionary<string, TensorData>> RunAsync(string experiment, Backend where)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, where);
        return await recorded.RunAsync(Cancel);
    }

    /// <summary>
    /// Asserts that integers are equal and floating-point values differ by at most 1e-4, because another batch size rounds differently.
    /// </summary>
    private static void AssertSame(IReadOnlyDictionary<string, TensorData> alone, IReadOnlyDictionary<string, TensorData> together,
        string experiment)
    {
        Assert.Equal(alone.Keys.Order(), together.Keys.Order());
        foreach ((string name, TensorData expected) in alone)
        {
            TensorData actual = together[name];
            Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
            if (expected.Type != DType.Float32)
            {
                Assert.Equal(expected.Checksum(), actual.Checksum());
                continue;
            }
            Assert.True(expected.ArgMax(-1).Checksum() == actual.ArgMax(-1).Checksum(), $"{experiment}: {name} has other largest elements");
            for (int i = 0; i < expected.Count; i++)
                Assert.True(Math.Abs(expected.Span<float>()[i] - actual.Span<float>()[i]) <= 1e-4, $"{experiment}: {name}[{i}] differs");
        }
    }
}
