using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.EndToEnd;

public sealed class LargeValueTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task ValuesLargerThanAMegabyte_ComeBackAsBlobs_WithTheRightBytes()
    {
        const string Experiment = "large:8"; // logits of 5.8 MB
        await using Child client = Cluster.User(Cluster.Key, "run", Experiment);
        Assert.Equal(await HereAsync(Experiment), await client.ResultsAsync());
        Assert.Contains("[8, 128, 1422]", (await client.AllAsync()).Where(told => told.What == "result").Select(told => told.Text));

        JobInfo job = (await Raw.ListJobsAsync(new ListJobsRequest { Limit = 1 }, Key, cancellationToken: Cancel)).Jobs[0];
        List<BlobRef> blobs = [];
        using AsyncServerStreamingCall<Event> events = Raw.Watch(new WatchRequest { JobId = job.Id }, Key, cancellationToken: Cancel);
        await foreach (Event happening in events.ResponseStream.ReadAllAsync(Cancel))
            if (happening.Value?.Data.Tensor is { ContentCase: Tensor.ContentOneofCase.Blob } tensor) blobs.Add(tensor.Blob);
        Assert.Equal([8ul * 128 * 1422 * 4], blobs.Select(blob => blob.Length));
    }

    [Fact]
    public async Task ALargeConstant_IsUploadedOnce_AndFoundByItsHashAfterThat()
    {
        const string Experiment = "constant:25"; // 1.6 MB, which no other test has uploaded
        await using Child first = Cluster.User(Cluster.Key, "run", Experiment);
        Dictionary<string, string> here = await HereAsync(Experiment);
        Assert.Equal(here, await first.ResultsAsync());
        int uploads = Uploads();
        Assert.True(uploads > 0, Cluster.Gateway.Report());
        await using Child second = Cluster.User(Cluster.Key, "run", Experiment);
        Assert.Equal(here, await second.ResultsAsync());
        Assert.Equal(uploads, Uploads());
    }

    [Fact]
    public async Task ManyConstants_ThatAreLargeOnlyTogether_DoNotMakeAMessageTooLarge()
    {
        const string Experiment = "constants:65"; // one more megabyte than a message may have
        Assert.Equal(await HereAsync(Experiment), await ThereAsync(Experiment));
    }

    [Fact]
    public async Task ADownloadThatIsCutAgainAndAgain_GoesOnWhereItWas()
    {
        const string Experiment = "large:24"; // logits of 17 MB, more than ten times what a connection bears
        await using var proxy = new CuttingProxy(1_500_000, Cluster.Grpc, Cluster.Http);
        using Recorded recorded = Experiments.Record(Experiment, Backend.At(proxy.Address, Cluster.Key));
        Dictionary<string, string> there = (await recorded.RunAsync(Cancel)).ToDictionary(result => result.Key, result => result.Value.Checksum());
        Assert.Equal(await HereAsync(Experiment), there);
        Assert.True(proxy.Cuts >= 10, $"{proxy.Cuts}");
    }

    private int Uploads() => Cluster.Gateway.Lines.Count(line => line.Contains("/ndif.v1.Inference/PutBlob", StringComparison.Ordinal));
}
