using System.Net;
using Grpc.Core;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

public sealed class LargeValueTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task LargeValues_ComeBackAsBlobs_WithTheRightBytes()
    {
        const string Experiment = "large:8"; // logits of 5.8 MB
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", Experiment);
        Assert.Equal(await RunLocallyAsync(Experiment), await client.GetResultChecksumsAsync());
        Assert.Contains("[8, 128, 1422]", (await client.ReadAllMessagesAsync()).Where(message => message.Kind == "result")
            .Select(message => message.Text));

        JobInfo job = (await RawClient.ListJobsAsync(new ListJobsRequest { Limit = 1 }, KeyMetadata, cancellationToken: Cancel)).Jobs[0];
        List<BlobRef> blobs = [];
        using AsyncServerStreamingCall<Event> events =
            RawClient.Watch(new WatchRequest { JobId = job.Id }, KeyMetadata, cancellationToken: Cancel);
        await foreach (Event jobEvent in events.ResponseStream.ReadAllAsync(Cancel))
            if (jobEvent.Value?.Data.Tensor is { ContentCase: Tensor.ContentOneofCase.Blob } tensor) blobs.Add(tensor.Blob);
        const ulong State = 8 * 128 * 128 * 4; // of each of four layers
        Assert.Equal([State, State, State, State, 8ul * 128 * 1422 * 4], blobs.Select(blob => blob.Length));
    }

    [Fact]
    public async Task ALargeConstant_IsUploadedOnce_AndFoundByItsHashAfterThat()
    {
        const string Experiment = "constant:25"; // 1.6 MB, which no other test uploads
        await using ChildProcess first = Cluster.StartClient(Cluster.Key, "run", Experiment);
        Dictionary<string, string> here = await RunLocallyAsync(Experiment);
        Assert.Equal(here, await first.GetResultChecksumsAsync());
        int uploads = CountUploads();
        Assert.True(uploads > 0, Cluster.Gateway.FormatOutput());
        await using ChildProcess second = Cluster.StartClient(Cluster.Key, "run", Experiment);
        Assert.Equal(here, await second.GetResultChecksumsAsync());
        Assert.Equal(uploads, CountUploads());
    }

    [Fact]
    public async Task ManyConstants_ThatAreLargeOnlyTogether_DoNotMakeAMessageTooLarge()
    {
        const string Experiment = "constants:65"; // 65 MiB, one more than a message may have
        Assert.Equal(await RunLocallyAsync(Experiment), await RunRemotelyAsync(Experiment));
    }

    [Fact]
    public async Task ADownloadThatIsCutAgainAndAgain_GoesOnWhereItWas()
    {
        const string Experiment = "large:24"; // logits of 17 MB, more than ten times the limit of a connection
        // a client gets the HTTP port from the gateway and the host from its own address, so each proxy listens on the port of its target
        await using TcpProxy grpc = CutAfter(1_500_000, Cluster.Grpc.Port), http = CutAfter(1_500_000, Cluster.Http.Port);
        using RecordedExperiment recorded = Experiments.Record(Experiment, Backend.At($"http://{grpc.Address}", Cluster.Key));
        Dictionary<string, string> there = (await recorded.RunAsync(Cancel))
            .ToDictionary(result => result.Key, result => result.Value.Checksum());
        Assert.Equal(await RunLocallyAsync(Experiment), there);
        Assert.True(grpc.Cuts + http.Cuts >= 10, $"{grpc.Cuts} {http.Cuts}");

        static TcpProxy CutAfter(long bytes, int port) =>
            new(() => port, new IPEndPoint(IPAddress.Parse("127.0.0.2"), port))
            {
                MaxBytesToClient = bytes,
            };
    }

    private int CountUploads() =>
        Cluster.Gateway.Lines.Count(line => line.Contains("/ndif.v1.Inference/PutBlob", StringComparison.Ordinal));
}
