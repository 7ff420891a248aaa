namespace Ndif.EndToEnd.Tests;

/// <summary>The tests of <see cref="LargeValueTests"/> with a bucket in place of a folder.</summary>
public sealed class BucketTests(BucketTestCluster cluster, ITestOutputHelper output)
    : ClusterTestBase(cluster, output), IClassFixture<BucketTestCluster>
{
    [Fact]
    public async Task LargeValues_ComeBackFromTheBucket_UntilTheyAreDeleted()
    {
        const string Experiment = "large:24"; // 17 MB, which is a multipart upload with two parts
        await using ChildProcess client = Cluster.StartClient(Cluster.Key, "run", Experiment);
        Assert.Equal(await RunLocallyAsync(Experiment), await client.GetResultChecksumsAsync());
        Assert.Contains(cluster.S3.Keys, key => key.StartsWith("lab/", StringComparison.Ordinal));
        // the tool created the folder when it created a key
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(Cluster.DataFolder, "blobs"), "*", SearchOption.AllDirectories));

        using RecordedExperiment recorded = Experiments.Record(Experiment, Cluster.Remote);
        string[] before = [.. cluster.S3.Keys];
        Job job = await recorded.Trace.SubmitAsync(Cancel);
        await job.WaitAsync(Cancel);
        Assert.NotEqual(before, cluster.S3.Keys);
        await job.DeleteAsync(Cancel);
        Assert.Equal(before, cluster.S3.Keys);
    }

    [Fact]
    public async Task ALargeConstant_ReachesTheWorker_ThroughTheBucket()
    {
        const string Experiment = "constant:24"; // 1.5 MB
        Assert.Equal(await RunLocallyAsync(Experiment), await RunRemotelyAsync(Experiment));
        int constants = CountGrants();
        Assert.Equal(await RunLocallyAsync(Experiment), await RunRemotelyAsync(Experiment));
        Assert.Equal(constants, CountGrants());

        // a grant of a result names its job after a dot
        int CountGrants() => cluster.S3.Keys.Count(key => key.Contains("/readers/", StringComparison.Ordinal) && !key.Contains('.'));
    }

    [Theory, InlineData(FakeS3.Fault.SlowDown), InlineData(FakeS3.Fault.Cut)]
    public async Task AStoreThatFailsNowAndThen_IsAskedAgain(FakeS3.Fault fault)
    {
        const string Experiment = "large:24";
        cluster.S3.FailEvery(3, fault);
        cluster.S3.CutDownloadsAfter = 3_000_000;
        try
        {
            int before = cluster.S3.Faults;
            Assert.Equal(await RunLocallyAsync(Experiment), await RunRemotelyAsync(Experiment));
            Assert.True(cluster.S3.Faults > before);
        }
        finally
        {
            cluster.S3.FailEvery(0, fault);
            cluster.S3.CutDownloadsAfter = null;
        }
    }
}
