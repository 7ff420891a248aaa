using System.Security.Cryptography;
using System.Text;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

public sealed class DirectoryBlobStoreTests : IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName;
    private readonly ManualTime time = new();
    private readonly DirectoryBlobStore store;

    public DirectoryBlobStoreTests() => store = new DirectoryBlobStore(new BlobOptions { Root = root, TimeToLive = TimeSpan.FromHours(1) }, time);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public async Task ABlob_IsNamedByItsBytes_AndComesBackSeekable()
    {
        byte[] bytes = new byte[3_000_000];
        new Random(1).NextBytes(bytes);
        BlobRef blob = await PutAsync(bytes);
        Assert.Equal((Convert.ToHexStringLower(SHA256.HashData(bytes)), (ulong)bytes.Length), (blob.Id, blob.Length));
        Assert.True(File.Exists(Path.Combine(root, blob.Id[..2], blob.Id)));
        await using Stream stream = (await store.OpenAsync(blob.Id, Cancel))!;
        Assert.Equal(bytes.Length, stream.Length);
        stream.Position = 2_000_000;
        byte[] rest = new byte[1_000_000];
        await stream.ReadExactlyAsync(rest, Cancel);
        Assert.Equal(bytes[2_000_000..], rest);
    }

    [Fact]
    public async Task AnEmptyBlob_IsABlob()
    {
        BlobRef blob = await PutAsync([]);
        Assert.Equal(0ul, blob.Length);
        Assert.True(await store.ExistsAsync(blob.Id, Cancel));
    }

    [Fact]
    public async Task TheSameBytes_AreStoredOnce_AlsoAtTheSameTime()
    {
        byte[] bytes = Encoding.UTF8.GetBytes("the same");
        BlobRef[] blobs = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PutAsync(bytes)));
        Assert.Single(blobs.Distinct());
        Assert.Single(Directory.GetFiles(root, "*", SearchOption.AllDirectories));
    }

    [Fact]
    public async Task AFailedWrite_LeavesNothing()
    {
        await Assert.ThrowsAsync<FormatException>(() => store.PutAsync(async (stream, token) =>
        {
            await stream.WriteAsync(new byte[10], token);
            throw new FormatException();
        }, Cancel));
        Assert.Empty(Directory.GetFiles(root, "*", SearchOption.AllDirectories));
    }

    [Theory]
    [InlineData("")]
    [InlineData("../../etc/passwd")]
    [InlineData("0123")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    [InlineData("../aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public async Task WhatIsNoId_OrIsNotThere_IsNobodys(string id)
    {
        Assert.Null(await store.OpenAsync(id, Cancel));
        Assert.False(await store.ExistsAsync(id, Cancel));
        Assert.False(await store.MayReadAsync(id, "ana", Cancel));
        NdifException refused = await Assert.ThrowsAsync<NdifException>(() => store.GrantAsync(id, "ana", cancellationToken: Cancel));
        Assert.Equal(ErrorCode.UnknownBlob, refused.Code);
    }

    [Fact]
    public async Task OnlyWhomItWasGranted_MayRead_WhateverTheirName()
    {
        BlobRef blob = await PutAsync([1]);
        Assert.False(await store.MayReadAsync(blob.Id, "ana", Cancel));
        await store.GrantAsync(blob.Id, "ana", cancellationToken: Cancel);
        await store.GrantAsync(blob.Id, "../../ben", cancellationToken: Cancel);
        Assert.True(await store.MayReadAsync(blob.Id, "ana", Cancel));
        Assert.True(await store.MayReadAsync(blob.Id, "../../ben", Cancel));
        Assert.False(await store.MayReadAsync(blob.Id, "cleo", Cancel));
        Assert.All(Directory.GetFileSystemEntries(Path.Combine(root, blob.Id[..2])), entry => Assert.StartsWith(root, Path.GetFullPath(entry), StringComparison.Ordinal));
    }

    [Fact]
    public async Task WhatNobodyAskedFor_IsSwept_WithItsGrants()
    {
        BlobRef old = await PutAsync([1]);
        await store.GrantAsync(old.Id, "ana", cancellationToken: Cancel);
        BlobRef used = await PutAsync([2]);
        time.Advance(TimeSpan.FromMinutes(40));
        Assert.True(await store.ExistsAsync(used.Id, Cancel));
        time.Advance(TimeSpan.FromMinutes(40));
        Assert.Null(await store.OpenAsync(old.Id, Cancel)); // expired, though not swept yet
        Assert.False(await store.MayReadAsync(old.Id, "ana", Cancel));
        Assert.Equal(1, await store.SweepAsync(Cancel));
        Assert.True(await store.ExistsAsync(used.Id, Cancel));
        await PutAsync([1]);
        Assert.False(await store.MayReadAsync(old.Id, "ana", Cancel));
        Assert.Equal(0, await store.SweepAsync(Cancel));
    }

    [Fact]
    public async Task AnOpenBlob_CanBeReadToItsEnd_WhenItIsSwept()
    {
        BlobRef blob = await PutAsync([1, 2, 3]);
        await using Stream stream = (await store.OpenAsync(blob.Id, Cancel))!;
        time.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await store.SweepAsync(Cancel));
        byte[] bytes = new byte[3];
        await stream.ReadExactlyAsync(bytes, Cancel);
        Assert.Equal([1, 2, 3], bytes);
    }

    [Fact]
    public async Task ADraft_ThatIsBeingWritten_IsNotSwept()
    {
        BlobRef blob = await store.PutAsync(async (stream, token) =>
        {
            await stream.WriteAsync(new byte[] { 7 }, token);
            await new DirectoryBlobStore(new BlobOptions { Root = root }).SweepAsync(token);
        }, Cancel);
        Assert.True(await store.ExistsAsync(blob.Id, Cancel));
    }

    private Task<BlobRef> PutAsync(byte[] bytes) => store.PutAsync(async (stream, token) => await stream.WriteAsync(bytes, token), Cancel);
}
