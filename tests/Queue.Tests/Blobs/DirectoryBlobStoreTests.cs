using Ndif.Protocol;
using Ndif.Queue.Blobs;


namespace Ndif.Queue.Tests.Blobs;

public sealed class DirectoryBlobStoreTests : BlobStoreContract, IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName;

    public DirectoryBlobStoreTests() => Store = OpenAnother(Time);

    protected override IBlobStore Store { get; }

    protected override IBlobStore OpenAnother(TimeProvider time) =>
        new DirectoryBlobStore(new BlobOptions { Root = _root, TimeToLive = TimeSpan.FromHours(1) }, time);

    protected override int StoredCount => Directory.GetFiles(_root, "*", SearchOption.AllDirectories).Length;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [Fact]
    public async Task EveryFile_LiesInTheRoot_WhateverAnOwnerIsCalled()
    {
        BlobRef blob = await PutAsync([1]);
        Assert.True(File.Exists(Path.Combine(_root, blob.Id[..2], blob.Id)));
        await Store.GrantAsync(blob.Id, "../../ben", "../../job", Cancel);
        Assert.All(Directory.GetFileSystemEntries(Path.Combine(_root, blob.Id[..2])),
            entry => Assert.StartsWith(_root, Path.GetFullPath(entry), StringComparison.Ordinal));
        Assert.Equal(2, StoredCount);
    }

    [Fact]
    public async Task AnOpenBlob_CanBeReadToItsEnd_WhenItIsSwept()
    {
        BlobRef blob = await PutAsync([1, 2, 3]);
        await using Stream stream = (await Store.OpenAsync(blob.Id, Cancel))!;
        Time.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await Store.DeleteExpiredAsync(Cancel));
        byte[] bytes = new byte[3];
        await stream.ReadExactlyAsync(bytes, Cancel);
        Assert.Equal([1, 2, 3], bytes);
    }
}
