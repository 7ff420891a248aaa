using Ndif.Protocol;

namespace Ndif.EndToEnd;

/// <summary>A gateway with limits of its own beside the cluster's, on the same queue and workers.</summary>
public sealed class LimitTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task ATiersResultBytes_AreEnforcedByTheWorker_ForLargeAndSmallValuesAndLogs()
    {
        (Child gateway, string host) = await GatewayAsync();
        await using Child stopped = gateway;
        string narrow = await Cluster.NewKeyAsync("narrow"), roomy = await Cluster.NewKeyAsync("roomy", "--tier", "roomy"), tiny = await Cluster.NewKeyAsync("tiny", "--tier", "tiny");

        NdifException large = await FailureAsync("large:8", Backend.At(host, narrow));
        Assert.Equal((ErrorCode.LimitExceeded, "The job sends back more than 3,000,000 bytes, which is the most that your key may have."), (large.Code, large.Message.Split('\n')[0]));
        Assert.Equal(ErrorCode.LimitExceeded, (await FailureAsync("states", Backend.At(host, tiny))).Code);
        Assert.Equal(await HereAsync("large:8"), await ThereAsync("large:8", Backend.At(host, roomy)));
        Assert.Equal(await HereAsync("states"), await ThereAsync("states", Backend.At(host, narrow)));
    }

    [Fact]
    public async Task ATiersWallTime_StopsItsJobs()
    {
        (Child gateway, string host) = await GatewayAsync();
        await using Child stopped = gateway;
        string brief = await Cluster.NewKeyAsync("brief", "--tier", "brief");
        NdifException late = await FailureAsync("endless", Backend.At(host, brief));
        Assert.Equal(ErrorCode.JobTimeout, late.Code);
        Assert.Contains("longer than 1.5 s", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Usage_IsTheJobsOwn_ForItsOwnerAndAnAdministrator_AndADeletedJobsResultsAreGone()
    {
        string key = await Cluster.NewKeyAsync("counted"), admin = await Cluster.NewKeyAsync("bookkeeper", "--admin"), id = key.Split('_')[1];
        Backend there = Backend.At(Cluster.Grpc.ToString(), key);
        Assert.Empty(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel));
        await ThereAsync("states", there);
        await ThereAsync("generate:5", there);
        await ThereAsync("large:2", there);
        await FailureAsync("late", there);

        UsageRow row = Assert.Single(await ServiceUsage.GetAsync(remote: there, cancellationToken: Cancel));
        Assert.Equal((id, Experiments.Model, 3ul, 1ul), (row.Key, row.Model, row.Completed, row.Failed));
        Assert.True(row is { Jobs: 4, Passes: >= 5, Tokens: > 20, ComputeSeconds: > 0, ResultBytes: > 2 * 128 * 1422 * 4 }, $"{row}");
        Assert.Equal([row], await ServiceUsage.OfAsync(id, remote: Backend.At(Cluster.Grpc.ToString(), admin), cancellationToken: Cancel));
        await Assert.ThrowsAsync<AccessException>(() => ServiceUsage.OfAsync(id, remote: there, cancellationToken: Cancel));
        Assert.Equal(row, UsageRow.Parser.ParseJson(await ToolAsync("usage", key, "--json")));
        Assert.Equal(row, UsageRow.Parser.ParseJson(await ToolAsync("usage", admin, "--owner", id, "--json", "--since", row.Day)));
        Assert.Contains(id, await ToolAsync("usage", admin, "--all"), StringComparison.Ordinal);

        JobInfo large = (await Job.ListAsync(remote: there, cancellationToken: Cancel)).MaxBy(job => job.Usage?.ResultBytes ?? 0)!;
        Assert.Matches($"^Deleted job {large.Id} and 1 large results of 1,[0-9]{{3}},[0-9]{{3}} bytes.$", await ToolAsync("jobs", key, "delete", large.Id));
        Assert.Equal(ErrorCode.UnknownJob, (await Assert.ThrowsAnyAsync<NdifException>(() => Job.AttachAsync(large.Id, there, Cancel))).Code);
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
        await using Child gateway = Cluster.Tool(["serve", "--redis", Cluster.RedisAddress, "--data", Cluster.Data, "--port", "0", "--http-port", "0", .. arguments.Split(' ')]);
        Assert.Equal(1, await gateway.EndAsync());
        Assert.Contains(name, gateway.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", gateway.Errors, StringComparison.Ordinal);
    }

    /// <summary>A file, an environment variable and a switch, each of which says something.</summary>
    private async Task<(Child Gateway, string Host)> GatewayAsync()
    {
        Directory.CreateDirectory(Cluster.Data);
        string file = Path.Combine(Cluster.Data, $"{Guid.NewGuid():n}.json");
        await File.WriteAllTextAsync(file, """
            {
              "Gateway": {
                "GrpcPort": 1, "HttpPort": 1, // the switches say better
                "ResultBytes": 5, // the environment says better
                "Tiers": { "roomy": { "ResultBytes": 100000000 }, "tiny": { "ResultBytes": 5 }, "brief": { "WallTime": "01:00:00" } }
              },
              "Queue": { "Retention": "12:00:00" }
            }
            """, Cancel);
        Child gateway = Child.Start("ndif serve", Built.Dotnet, [Built.Tool, "serve", "--redis", Cluster.RedisAddress, "--data", Cluster.Data, "--port", "0", "--http-port", "0",
            "--config", file, "--set", "Gateway:Tiers:tiny:ResultBytes=2000", "--set", "Gateway:Tiers:brief:WallTime=00:00:01.5"], ("NDIF_Gateway__ResultBytes", "3000000"));
        return (gateway, (await gateway.LineAsync(line => line.StartsWith("gateway ", StringComparison.Ordinal), "its addresses")).Split(' ')[1]);
    }

    private static async Task<NdifException> FailureAsync(string experiment, Backend where) =>
        await Assert.ThrowsAnyAsync<NdifException>(() => ThereAsync(experiment, where));

    private static async Task<Dictionary<string, string>> ThereAsync(string experiment, Backend where)
    {
        using Recorded recorded = Experiments.Record(experiment, where);
        return (await recorded.RunAsync(Cancel)).ToDictionary(result => result.Key, result => result.Value.Checksum());
    }

    private async Task<string> ToolAsync(string command, string key, params string[] arguments)
    {
        await using Child tool = Cluster.Tool([command, .. arguments, "--host", Cluster.Grpc.ToString(), "--key", key]);
        Assert.True(await tool.EndAsync() == 0, tool.Report());
        return string.Join('\n', tool.Lines);
    }
}
