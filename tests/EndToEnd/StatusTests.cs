using System.Text.Json;

namespace Ndif.EndToEnd;

public sealed class StatusTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task StatusAndModels_ShowTheModelAndBothWorkers_ToPeopleAndToPrograms()
    {
        string[] there = ["--host", Cluster.Grpc.ToString(), "--key", Cluster.Key];
        await using Child text = Cluster.Tool(["status", .. there]), json = Cluster.Tool(["status", "--json", .. there]), models = Cluster.Tool(["models", .. there]);
        string[] workers = [.. Cluster.Workers.Keys.Order(StringComparer.Ordinal)];

        string status = await PrintedAsync(text);
        foreach (string shown in workers.Append(Experiments.Model)) Assert.Contains($" {shown} ", status, StringComparison.Ordinal);

        using JsonDocument told = JsonDocument.Parse(await PrintedAsync(json));
        Assert.Equal(workers, told.RootElement.GetProperty("workers").EnumerateArray().Select(worker => worker.GetProperty("id").GetString()!).Order(StringComparer.Ordinal));
        Assert.Equal(2, told.RootElement.GetProperty("models")[0].GetProperty("replicas").GetInt32());

        Assert.Contains($" {Experiments.Model} ", await PrintedAsync(models), StringComparison.Ordinal);

        using var http = new HttpClient();
        using JsonDocument page = JsonDocument.Parse(await http.GetStringAsync(new Uri(Cluster.Http, "/status"), Cancel));
        Assert.Equal(workers, page.RootElement.GetProperty("workers").EnumerateArray().Select(worker => worker.GetProperty("id").GetString()!).Order(StringComparer.Ordinal));
        Assert.Equal(Experiments.Model, page.RootElement.GetProperty("models")[0].GetProperty("id").GetString());
        Assert.Equal("hot", page.RootElement.GetProperty("models")[0].GetProperty("heat").GetString());
    }

    private static async Task<string> PrintedAsync(Child tool)
    {
        Assert.True(await tool.EndAsync() == 0, tool.Report());
        return string.Join('\n', tool.Lines);
    }
}
