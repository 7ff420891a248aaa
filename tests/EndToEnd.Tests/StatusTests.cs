using System.Text.Json;

namespace Ndif.EndToEnd.Tests;

public sealed class StatusTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task StatusAndModels_ShowTheModelAndBothWorkers_ToPeopleAndToPrograms()
    {
        string[] there = ["--host", Cluster.Grpc.ToString(), "--key", Cluster.Key];
        await using ChildProcess text = Cluster.StartTool(["status", .. there]), json = Cluster.StartTool(["status", "--json", .. there]),
            models = Cluster.StartTool(["models", .. there]);
        string[] workers = [.. Cluster.Workers.Keys.Order(StringComparer.Ordinal)];

        string status = await GetOutputAsync(text);
        foreach (string shown in workers.Append(Experiments.Model)) Assert.Contains($" {shown} ", status, StringComparison.Ordinal);

        using JsonDocument told = JsonDocument.Parse(await GetOutputAsync(json));
        AssertWorkers(told);
        Assert.Equal(2, FindModel(told).GetProperty("replicas").GetInt32());

        Assert.Contains($" {Experiments.Model} ", await GetOutputAsync(models), StringComparison.Ordinal);

        using var http = new HttpClient();
        using JsonDocument page = JsonDocument.Parse(await http.GetStringAsync(new Uri(Cluster.Http, "/status"), Cancel));
        AssertWorkers(page);
        Assert.Equal("hot", FindModel(page).GetProperty("heat").GetString());

        // those of other tests, with other models, are shown until their heartbeats have expired
        void AssertWorkers(JsonDocument shown) => Assert.Superset(workers.ToHashSet(),
            shown.RootElement.GetProperty("workers").EnumerateArray().Select(worker => worker.GetProperty("id").GetString()!).ToHashSet());

        static JsonElement FindModel(JsonDocument shown) => shown.RootElement.GetProperty("models").EnumerateArray()
            .Single(model => model.GetProperty("id").GetString() == Experiments.Model);
    }

    private static async Task<string> GetOutputAsync(ChildProcess tool)
    {
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }
}
