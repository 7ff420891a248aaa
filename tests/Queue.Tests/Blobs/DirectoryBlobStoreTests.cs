using Ndif.Protocol;

namespace Ndif.Queue.Tests;

public sealed class DirectoryBlobStoreTests : BlobStoreContract, IDisposable
{
    private readonly string root = Directory.CreateTempSubdirectory("ndif-blobs-").FullName;

    public DirectoryBlobStoreTests() => Store = Another(Time);

    protected override IBlobStore Store { get; }

    protected override IBlobStore Another(TimeProvider time) => new DirectoryBlobStore(new BlobOptions { Root = root, TimeToLive = TimeSpan.FromHours(1) }, time);

    protected override int Count => Directory.GetFiles(root, "*", SearchOption.AllDirectories).Length;

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Fact]
    public async Task EveryFile_LiesInTheRoot_WhateverAnOwnerIsCalled()
    {
        BlobRef blob = await PutAsync([1]);
        Assert.True(File.Exists(Path.Combine(root, blob.Id[..2], blob.Id)));
        await Store.GrantAsync(blob.Id, "../../ben", "../../job", Cancel);
        Assert.All(Directory.GetFileSystemEntries(Path.Combine(root, blob.Id[..2])), entry => Assert.StartsWith(root, Path.GetFullPath(entry), StringComparison.Ordinal));
        Assert.Equal(2, Count);
    }

    [Fact]
    public async Task AnOpenBlob_CanBeReadToItsEnd_WhenItIsSwept()
    {
        BlobRef blob = await PutAsync([1, 2, 3]);
        await using Stream stream = (await Store.OpenAsync(blob.Id, Cancel))!;
        Time.Advance(TimeSpan.FromHours(2));
        Assert.Equal(1, await Store.SweepAsync(Cancel));
        byte[] bytes = new byte[3];
        await stream.ReadExactlyAsync(bytes, Cancel);
        Assert.Equal([1, 2, 3], bytes);
    }
}
