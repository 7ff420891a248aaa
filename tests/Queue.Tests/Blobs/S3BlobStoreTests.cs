using Amazon.Runtime;
using Ndif.Protocol;
using Ndif.Queue.Blobs;

namespace Ndif.Queue.Tests.Blobs;

/// <summary>
/// Tests the S3 store against a fake server that checks signatures and limits (<see cref="FakeS3"/>). The tests run alone, because they
/// measure memory.
/// </summary>
[CollectionDefinition(nameof(S3BlobStoreTests), DisableParallelization = true), Collection(nameof(S3BlobStoreTests))]
public sealed class S3BlobStoreTests : BlobStoreContract, IAsyncLifetime
{
    private readonly FakeS3 _s3;
    private IBlobStore? _store;

    public S3BlobStoreTests() => _s3 = new FakeS3(Time);

    protected override IBlobStore Store => _store!;

    protected override int StoredCount => _s3.Keys.Count() + _s3.OpenUploads;

    public async ValueTask InitializeAsync()
    {
        await _s3.StartAsync();
        _store = OpenAnother(Time);
    }

    public async ValueTask DisposeAsync() => await _s3.DisposeAsync();

    protected override IBlobStore OpenAnother(TimeProvider time) => Open(FakeS3.Secret, time);

    [Fact]
    public async Task EveryKey_IsBehindThePrefix_WhateverAnOwnerIsCalled()
    {
        BlobRef blob = await PutAsync([1]);
        await Store.GrantAsync(blob.Id, "../../ben", "../job", Cancel);
        Assert.Equal(3, _s3.Keys.Count());
        Assert.All(_s3.Keys, key =>
            Assert.Matches("^ndif/lab-1/(blobs/[0-9a-f]{64}|seen/[0-9a-f]{64}|readers/[0-9a-f]{64}/[0-9a-f]{64}[.][0-9a-f]{64})$", key));
    }

    [Fact]
    public async Task AWrongSecret_IsUnavailable_AndNothingIsStored()
    {
        NdifException refused = await Assert.ThrowsAsync<NdifException>(
            () => Open("wrong", Time).PutAsync(async (stream, cancel) => await stream.WriteAsync(new byte[] { 1 }, cancel), Cancel));
        Assert.Equal((ErrorCode.Unavailable, true), (refused.Code, refused.Error.Retryable));
        Assert.DoesNotContain("wrong", refused.ToString(), StringComparison.Ordinal);
        Assert.Equal(0, StoredCount);
    }

    [Theory]
    [InlineData(FakeS3.Fault.SlowDown)]
    [InlineData(FakeS3.Fault.Internal)]
    [InlineData(FakeS3.Fault.Cut)]
    [InlineData(FakeS3.Fault.CutAfterwards)]
    public async Task FaultsOfAMoment_AreBorne_WhereverTheyCome(FakeS3.Fault fault)
    {
        _s3.FailEvery(4, fault); // every fourth request of any kind
        for (byte i = 0; i < 3; i++)
        {
            byte[] bytes = Bytes(6_000_000 + i);
            BlobRef blob = await PutAsync(bytes);
            await Store.GrantAsync(blob.Id, "ana", "job", Cancel);
            Assert.True(await Store.CanReadAsync(blob.Id, "ana", Cancel));
            Assert.Equal(bytes, await ReadAsync(blob.Id));
        }
        Assert.True(_s3.Faults > 3, $"{_s3.Faults}");
        _s3.FailEvery(0, fault);
        Assert.DoesNotContain(_s3.Keys, key => key.Contains("/writing/", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AConnectionThatBreaksInTheMiddleOfABlob_IsFollowedByAnother_FromThere()
    {
        byte[] bytes = Bytes(9_000_000);
        BlobRef blob = await PutAsync(bytes);
        _s3.CutDownloadsAfter = 1_000_000;
        Assert.Equal(bytes, await ReadAsync(blob.Id));
        Assert.InRange(_s3.Downloads, 9, 30); // data in flight is requested again
    }

    [Fact]
    public async Task AStoreThatGivesNothingMore_IsUnavailable_NotAnEndlessWait()
    {
        BlobRef blob = await PutAsync(Bytes(2_000_000));
        _s3.CutDownloadsAfter = 0;
        NdifException broken = await Assert.ThrowsAsync<NdifException>(() => ReadAsync(blob.Id));
        Assert.Equal((ErrorCode.Unavailable, true), (broken.Code, broken.Error.Retryable));
    }

    [Fact]
    public async Task ABlobThatIsDeletedWhileItIsRead_IsUnknown()
    {
        BlobRef blob = await PutAsync([1, 2, 3]);
        await using Stream stream = (await Store.OpenAsync(blob.Id, Cancel))!;
        Time.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await Store.DeleteExpiredAsync(Cancel));
        Assert.Equal(ErrorCode.UnknownBlob,
            (await Assert.ThrowsAsync<NdifException>(async () => await stream.ReadExactlyAsync(new byte[3], Cancel))).Code);
    }

    [Fact]
    public async Task AnUploadWhoseProcessDied_IsEndedByALaterSweep()
    {
        _ = Store.PutAsync(async (stream, cancel) =>
        {
            await stream.WriteAsync(new byte[12_000_000], cancel);
            await Task.Delay(Timeout.Infinite, TestContext.Current.CancellationToken); // as if the process had died
        }, CancellationToken.None);
        while (_s3.OpenUploads == 0) await Task.Yield();
        await OpenAnother(Time).DeleteExpiredAsync(Cancel);
        Assert.Equal(1, _s3.OpenUploads);
        Time.Advance(TimeSpan.FromHours(2));
        await OpenAnother(Time).DeleteExpiredAsync(Cancel);
        Assert.Equal(0, _s3.OpenUploads);
    }

    [Fact]
    public async Task AnUploadWithoutBytes_TakesNoMemory_AndASmallOneLittle()
    {
        const int Uploads = 64;
        var received = new TaskCompletionSource();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Task[] uploads = [.. Enumerable.Range(0, Uploads).Select(i => Store.PutAsync(async (stream, cancel) =>
        {
            if (i % 2 == 0) await stream.WriteAsync(new byte[] { (byte)i }, cancel); // in this thread, into the buffer
            await received.Task;
        }, Cancel))];
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, Uploads * (128 << 10));
        received.SetResult();
        await Task.WhenAll(uploads);
        Assert.Equal([0, 1 << 16, 1 << 17, 1 << 23, 1 << 23],
            ((long[])[0, 1, 100_000, 5 << 20, 1L << 40]).Select(Store.GetUploadMemory));
    }

    [Fact]
    public async Task Memory_IsAPartOfABlob_InBothDirections()
    {
        const int Part = 5 << 20, Parts = 40;
        byte[] chunk = Bytes(1 << 20);
        _s3.StoresLengthsOnly = true; // so that only the memory of the store is measured
        long before = GC.GetTotalMemory(forceFullCollection: true), most = 0;
        BlobRef blob = await Store.PutAsync(async (stream, cancel) =>
        {
            for (int i = 0; i < Parts * Part / chunk.Length; i++)
            {
                await stream.WriteAsync(chunk, cancel);
                if (i % 20 == 0) most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true) - before);
            }
        }, Cancel);
        Assert.InRange(most, 0, 40 << 20); // of 200 MiB: one part, and the buffers of the client and the fake server
        Assert.Equal((ulong)(Parts * Part), blob.Length);
        most = 0;
        await using Stream back = (await Store.OpenAsync(blob.Id, Cancel))!;
        byte[] buffer = new byte[1 << 20];
        for (int i = 0; await back.ReadAsync(buffer, Cancel) > 0; i++)
            if (i % 500 == 0) most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true) - before);
        Assert.InRange(most, 0, 40 << 20);
    }

    [Theory]
    [InlineData("s3://ab")]
    [InlineData("s3://Bucket/x")]
    [InlineData("s3://bucket/../other")]
    [InlineData("s3://bucket/a b")]
    [InlineData("s3://bucket?region=eu-")] // found by fuzzing: the SDK threw
    [InlineData("s3://bucket?region=-eu")]
    [InlineData("s3://bucket?endpoint=ftp://host")]
    [InlineData("s3://bucket?endpoint=http://user:password@host")]
    [InlineData("s3://bucket?secret=hidden-thing")]
    public void WhatIsNoLocation_IsRefused_WithoutItsSecrets(string location)
    {
        NdifException refused = Assert.ThrowsAny<NdifException>(() => BlobStores.Open(new BlobOptions { Root = location }));
        Assert.Equal(ErrorCode.BadArgument, refused.Code);
        Assert.DoesNotContain("hidden-thing", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("password", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ALocation_SaysBucketPrefixAndEndpoint()
    {
        Assert.True(
            S3Location.TryParse("s3://my-bucket/a/b/?endpoint=http%3A%2F%2Fhost:9000&region=eu-central-1", out S3Location? location));
        Assert.Equal(("my-bucket", "a/b/", new Uri("http://host:9000"), "eu-central-1", true),
            (location.Bucket, location.Prefix, location.Endpoint, location.Region, location.PathStyle));
        Assert.False(S3Location.TryParse("/var/lib/ndif", out _));
    }

    private S3BlobStore Open(string secret, TimeProvider time)
    {
        Assert.True(S3Location.TryParse(
            $"s3://{FakeS3.Bucket}/ndif/lab-1?endpoint={_s3.Address}&region={FakeS3.Region}", out S3Location? location));
        return new S3BlobStore(location.NewClient(new BasicAWSCredentials(FakeS3.AccessKey, secret)), location,
            new BlobOptions { TimeToLive = TimeSpan.FromHours(1), PartBytes = 5 << 20 }, time);
    }

    private async Task<byte[]> ReadAsync(string id)
    {
        await using Stream stream = (await Store.OpenAsync(id, Cancel))!;
        using var bytes = new MemoryStream();
        await stream.CopyToAsync(bytes, Cancel);
        return bytes.ToArray();
    }
}
