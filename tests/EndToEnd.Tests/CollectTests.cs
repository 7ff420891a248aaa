using System.Text.Json;

namespace Ndif.EndToEnd.Tests;

public sealed class CollectTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    private const string Site = "transformer.h.1.hidden";

    [Fact]
    public async Task Collect_ThroughTheService_SurvivesTheLossOfClientAndWorker()
    {
        using var temp = new TempFolder();
        const int Texts = 3000;
        string data = temp.Write("texts.jsonl", string.Join('\n', Enumerable.Range(0, Texts).Select(i => JsonSerializer.Serialize(
            new { text = $"{i} {string.Concat(Enumerable.Repeat("The Eiffel Tower is in the city of Paris. ", 1 + (i % 5)))}" }))));
        string folder = temp.File("activations"), local = temp.File("local");

        await using (ChildProcess killed = StartCollect(folder))
        {
            await WaitForShardsAsync(killed, folder, 2);
            Cluster.Workers.Values.First().Kill(); // its jobs run again on the other worker
            await WaitForShardsAsync(killed, folder, 4);
            Assert.True(killed.IsAlive, killed.FormatOutput());
            killed.Kill();
        }
        await Cluster.EnsureRunningAsync();
        await using ChildProcess resumed = StartCollect(folder, "--json");
        Assert.True(await resumed.WaitForExitAsync() == 0, resumed.FormatOutput());
        JsonElement report = JsonDocument.Parse(string.Concat(resumed.Lines)).RootElement;
        Assert.True(report.GetProperty("resumedRows").GetInt64() > 0);
        Assert.Equal(Texts, report.GetProperty("texts").GetInt64());

        await using ChildProcess here = Cluster.StartTool(
            "collect", data, "-s", Site, "-o", local, "--shard-size", "200kB", "--batch-tokens", "512");
        Assert.True(await here.WaitForExitAsync() == 0, here.FormatOutput());
        Assert.Equal(ReadIndex(local), ReadIndex(folder)); // the batches are the same, and each row is there once

        ChildProcess StartCollect(string to, params string[] more) => Cluster.StartTool(["collect", data, "--site", Site, "--output", to,
            "--shard-size", "200kB", "--batch-tokens", "512", "--host", Cluster.Grpc.ToString(), "--key", Cluster.Key, .. more]);
    }

    private static async Task WaitForShardsAsync(ChildProcess collect, string folder, int count)
    {
        string index = Path.Combine(folder, "index.jsonl");
        await Poll.UntilAsync(() => Task.FromResult(!collect.IsAlive || CountLines() >= count), reached => reached);

        int CountLines() => File.Exists(index) ? File.ReadAllBytes(index).Count(at => at == '\n') : 0;
    }

    /// <summary>The file and the number of rows of each shard, and where the next one begins.</summary>
    private static string[] ReadIndex(string folder) => [.. File.ReadAllText(Path.Combine(folder, "index.jsonl"))
        .Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        {
            JsonElement shard = JsonDocument.Parse(line).RootElement;
            return $"{shard.GetProperty("file")} {shard.GetProperty("rows")} {shard.GetProperty("next")}";
        })];
}
