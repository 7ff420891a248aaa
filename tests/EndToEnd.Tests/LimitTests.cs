using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>A second gateway with different limits, on the queue and workers of the cluster.</summary>
public sealed class LimitTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task ATiersResultBytes_AreEnforcedByTheWorker_ForLargeAndSmallValuesAndLogs()
    {
        (ChildProcess gateway, string host) = await StartGatewayAsync();
        await using ChildProcess stopped = gateway;
        string narrow = await Cluster.CreateKeyAsync("narrow"), roomy = await CreateKeyAsync("roomy"),
            tiny = await CreateKeyAsync("tiny");

        NdifException large = await GetErrorAsync("large:8", Backend.At(host, narrow));
        Assert.Equal((ErrorCode.LimitExceeded, "The job sends back more than 3,000,000 bytes, which is the most that your key may have."),
            (large.Code, large.Message.Split('\n')[0]));
        Assert.Equal(ErrorCode.LimitExceeded, (await GetErrorAsync("states", Backend.At(host, tiny))).Code);
        Assert.Equal(await RunLocallyAsync("large:8"), await RunRemotelyAsync("large:8", Backend.At(host, roomy)));
        Assert.Equal(await RunLocallyAsync("states"), await RunRemotelyAsync("states", Backend.At(host, narrow)));
    }

    [Fact]
    public async Task ATiersWallTime_StopsItsJobs()
    {
        (ChildProcess gateway, string host) = await StartGatewayAsync();
        await using ChildProcess stopped = gateway;
        string brief = await CreateKeyAsync("brief");
        NdifException late = await GetErrorAsync("endless", Backend.At(host, brief));
        Assert.Equal(ErrorCode.JobTimeout, late.Code);
        Assert.Contains("longer than 1.5 s", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Usage_IsTheJobsOwn_ForItsOwnerAndAnAdministrator_AndADeletedJobsResultsAreGone()
    {
        string key = await Cluster.CreateKeyAsync("counted"), admin = await Cluster.CreateKeyAsync("bookkeeper", "--admin"),
            id = key.Split('_')[1];
        Backend there = Backend.At(Cluster.Grpc.ToString(), key);
        Assert.Empty(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel));
        await RunRemotelyAsync("states", there);
        await RunRemotelyAsync("generate:5", there);
        await RunRemotelyAsync("large:2", there);
        await GetErrorAsync("late", there);

        UsageRow row = Assert.Single(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel));
        Assert.Equal((id, Experiments.Model, 3ul, 1ul), (row.Key, row.Model, row.Completed, row.Failed));
        Assert.True(row is { Jobs: 4, Passes: >= 5, Tokens: > 20, ComputeSeconds: > 0, ResultBytes: > 2 * 128 * 1422 * 4 }, $"{row}");
        Assert.Equal([row], await ServiceUsage.OfAsync(id, remote: Backend.At(Cluster.Grpc.ToString(), admin), cancellationToken: Cancel));
        await Assert.ThrowsAsync<AccessException>(() => ServiceUsage.OfAsync(id, remote: there, cancellationToken: Cancel));
        Assert.Equal(row, UsageRow.Parser.ParseJson(await RunToolAsync("usage", key, "--json")));
        Assert.Equal(row, UsageRow.Parser.ParseJson(await RunToolAsync("usage", admin, "--owner", id, "--json", "--since", row.Day)));
        Assert.Contains(id, await RunToolAsync("usage", admin, "--all"), StringComparison.Ordinal);

        JobInfo large = (await Job.ListAsync(remote: there, cancellationToken: Cancel)).MaxBy(job => job.Usage?.ResultBytes ?? 0)!;
        Assert.Matches($"^Deleted job {large.Id} and 5 large results of 1,[0-9]{{3}},[0-9]{{3}} bytes.$",
            await RunToolAsync("jobs", key, "delete", large.Id));
        Assert.Equal(ErrorCode.UnknownJob, (await Assert.ThrowsAnyAsync<NdifException>(() => Job.AttachAsync(large.Id, there, Cancel)))
            .Code);
        Assert.Equal(row, Assert.Single(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel)));
    }

    [Theory]
    [InlineData("--set Gateway:Tokenz=5", "Tokenz")]
    [InlineData("--set Gatway:Tokens=5", "Gatway")]
    [InlineData("--set Gateway:Tokens=many", "many")]
    [InlineData("--set Gateway:Tokens", "KEY=VALUE")]
    [InlineData("--set Gateway:Tiers:standard:ResultBytes=0", "ResultBytes")]
    [InlineData("--set Queue:Prefix=mine:", "--prefix")]
    [InlineData("--set Queue:Retention=0", "Retention")]
    [InlineData("--config nowhere.json", "nowhere.json")]
    public async Task AnOptionThatThereIsNot_IsNamed(string arguments, string name)
    {
        await using ChildProcess gateway =
            Cluster.StartTool(
                ["serve", "--redis", Cluster.RedisAddress, "--data", Cluster.DataFolder, "--port", "0", "--http-port", "0",
                    .. arguments.Split(' ')]);
        Assert.Equal(1, await gateway.WaitForExitAsync());
        Assert.Contains(name, gateway.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", gateway.Errors, StringComparison.Ordinal);
    }

    private string ConfigFile => Path.Combine(Cluster.DataFolder, "limits.json");

    private Task<string> CreateKeyAsync(string tier) => Cluster.CreateKeyAsync(tier, "--tier", tier, "--config", ConfigFile);

    /// <summary>Starts a gateway that is configured by a file, an environment variable and switches.</summary>
    private async Task<(ChildProcess Gateway, string Host)> StartGatewayAsync()
    {
        Directory.CreateDirectory(Cluster.DataFolder);
        await File.WriteAllTextAsync(ConfigFile, """
            {
              "Gateway": {
                "GrpcPort": 1, "HttpPort": 1, // the switches say better
                "ResultBytes": 5, // the environment says better
                "Tiers": { "roomy": { "ResultBytes": 100000000 }, "tiny": { "ResultBytes": 5 }, "brief": { "WallTime": "01:00:00" } }
              },
              "Queue": { "Retention": "12:00:00" }
            }
            """, Cancel);
        ChildProcess gateway =
            ChildProcess.Start("ndif serve", BuildOutput.Dotnet,
                [BuildOutput.Tool, "serve", "--redis", Cluster.RedisAddress, "--data", Cluster.DataFolder, "--port", "0", "--http-port",
                    "0",
            "--config", ConfigFile, "--set", "Gateway:Tiers:tiny:ResultBytes=2000", "--set", "Gateway:Tiers:brief:WallTime=00:00:01.5"],
            ("NDIF_Gateway__ResultBytes", "3000000"));
        return (gateway, (await gateway.WaitForLineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses"))
            .Split(' ')[1]);
    }

    private static async Task<NdifException> GetErrorAsync(string experiment, Backend where) =>
        await Assert.ThrowsAnyAsync<NdifException>(() => RunRemotelyAsync(experiment, where));

    private static async Task<Dictionary<string, string>> RunRemotelyAsync(string experiment, Backend where)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, where);
        return (await recorded.RunAsync(Cancel)).ToDictionary(result => result.Key, result => result.Value.Checksum());
    }

    private async Task<string> RunToolAsync(string command, string key, params string[] arguments)
    {
        await using ChildProcess tool = Cluster.StartTool([command, .. arguments, "--host", Cluster.Grpc.ToString(), "--key", key]);
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }
}
