using System.Security.Cryptography;
using System.Text;
using Ndif.Protocol;
using Ndif.Queue.Tests.Support;

namespace Ndif.Queue.Tests.Blobs;

/// <summary>The contract test of all blob stores.</summary>
public abstract class BlobStoreContract
{
    protected ManualTime Time { get; } = new();

    /// <summary>A store with a time to live of one hour.</summary>
    protected abstract IBlobStore Store { get; }

    /// <summary>The store of another process with the same blobs.</summary>
    protected abstract IBlobStore OpenAnother(TimeProvider time);

    /// <summary>Counts the files or objects of the store.</summary>
    protected abstract int StoredCount { get; }

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(3_000_000)]
    [InlineData(5 << 20)]
    [InlineData((5 << 20) + 1)]
    [InlineData(23_456_789)]
    public async Task ABlob_IsNamedByItsBytes_AndComesBackSeekable(int length)
    {
        byte[] bytes = Bytes(length);
        BlobRef blob = await PutAsync(bytes, step: 700_001);
        Assert.Equal((Convert.ToHexStringLower(SHA256.HashData(bytes)), (ulong)length), (blob.Id, blob.Length));
        await using Stream stream = (await Store.OpenAsync(blob.Id, Cancel))!;
        Assert.Equal((length, true), (stream.Length, stream.CanSeek));
        foreach (int from in (int[])[length / 2, 0, length - length / 7])
        {
            stream.Position = from;
            byte[] rest = new byte[length - from];
            await stream.ReadExactlyAsync(rest, Cancel);
            Assert.True(bytes.AsSpan(from).SequenceEqual(rest));
            Assert.Equal(0, await stream.ReadAsync(new byte[1], Cancel));
        }
    }

    [Theory]
    [InlineData(8)]
    [InlineData(12_000_000)]
    public async Task ANewBlob_HasANameThatNobodyCanGuess_AndAChecksum(int length)
    {
        byte[] bytes = Bytes(length);
        BlobRef[] blobs = await Task.WhenAll(
            Enumerable.Range(0, 3).Select(_ => Store.PutNewAsync((stream, token) => stream.WriteAsync(bytes, token).AsTask(), Cancel)));
        Assert.Equal(3, blobs.Select(blob => blob.Id).Distinct().Count());
        Assert.All(blobs, blob => Assert.Matches("^[0-9a-f]{64}$", blob.Id));
        Assert.All(blobs, blob => Assert.Equal((ulong)bytes.Length, blob.Length));
        Assert.All(blobs, blob => Assert.Equal(System.IO.Hashing.XxHash128.Hash(bytes), blob.Checksum.ToByteArray()));
        await using Stream stream = (await Store.OpenAsync(blobs[1].Id, Cancel))!;
        byte[] back = new byte[length];
        await stream.ReadExactlyAsync(back, Cancel);
        Assert.True(bytes.AsSpan().SequenceEqual(back));
        int before = StoredCount;
        await Assert.ThrowsAsync<FormatException>(() => Store.PutNewAsync((_, _) => throw new FormatException(), Cancel));
        Assert.Equal(before, StoredCount);
    }

    [Fact]
    public async Task ABlob_CanBeWrittenAndReadSynchronously_AsTheEngineDoes()
    {
        byte[] bytes = Bytes(7_000_000);
        BlobRef blob = await Store.PutAsync((stream, _) =>
        {
            stream.Write(bytes, 0, 100);
            stream.Write(bytes.AsSpan(100));
            return Task.CompletedTask;
        }, Cancel);
        await using Stream stream = (await Store.OpenAsync(blob.Id, Cancel))!;
        byte[] back = new byte[bytes.Length];
        stream.ReadExactly(back, 0, back.Length);
        Assert.True(bytes.AsSpan().SequenceEqual(back));
    }

    [Fact]
    public async Task TheSameBytes_AreStoredOnce_AlsoAtTheSameTime()
    {
        byte[] bytes = Encoding.UTF8.GetBytes("the same");
        await PutAsync(bytes);
        int one = StoredCount;
        BlobRef[] blobs = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => PutAsync(bytes)));
        Assert.Single(blobs.Distinct());
        Assert.Equal(one, StoredCount);
    }

    [Theory]
    [InlineData(10)]
    [InlineData(12_000_000)]
    public async Task AFailedWrite_LeavesNothing(int length)
    {
        await Assert.ThrowsAsync<FormatException>(() => Store.PutAsync(async (stream, token) =>
        {
            await stream.WriteAsync(new byte[length], token);
            throw new FormatException();
        }, Cancel));
        Assert.Equal(0, StoredCount);
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
        Assert.Null(await Store.OpenAsync(id, Cancel));
        Assert.False(await Store.ExistsAsync(id, Cancel));
        Assert.False(await Store.CanReadAsync(id, "ana", Cancel));
        Assert.False(await Store.RevokeAsync(id, "ana", cancellationToken: Cancel));
        NdifException refused = await Assert.ThrowsAsync<NdifException>(() => Store.GrantAsync(id, "ana", cancellationToken: Cancel));
        Assert.Equal(ErrorCode.UnknownBlob, refused.Code);
    }

    [Fact]
    public async Task OnlyWhomItWasGranted_MayRead_WhateverTheirName()
    {
        BlobRef blob = await PutAsync([1]);
        Assert.False(await Store.CanReadAsync(blob.Id, "ana", Cancel));
        await Store.GrantAsync(blob.Id, "ana", cancellationToken: Cancel);
        await Store.GrantAsync(blob.Id, "../../ben", "job/../..", Cancel);
        Assert.True(await Store.CanReadAsync(blob.Id, "ana", Cancel));
        Assert.True(await Store.CanReadAsync(blob.Id, "../../ben", Cancel));
        Assert.False(await Store.CanReadAsync(blob.Id, "cleo", Cancel));
        Assert.True(await OpenAnother(Time).CanReadAsync(blob.Id, "ana", Cancel));
    }

    [Fact]
    public async Task TheLastGrantThatIsTakenBack_DeletesTheBytes()
    {
        BlobRef blob = await PutAsync([1]);
        await Store.GrantAsync(blob.Id, "ana", "job-1", Cancel);
        await Store.GrantAsync(blob.Id, "ana", "job-2", Cancel);
        await Store.GrantAsync(blob.Id, "ben", cancellationToken: Cancel);
        Assert.False(await Store.RevokeAsync(blob.Id, "ana", "job-3", Cancel));
        Assert.False(await Store.RevokeAsync(blob.Id, "ana", "job-1", Cancel)); // another job of the owner has a grant
        Assert.True(await Store.CanReadAsync(blob.Id, "ana", Cancel));
        Assert.True(await Store.RevokeAsync(blob.Id, "ana", "job-2", Cancel));
        Assert.False(await Store.CanReadAsync(blob.Id, "ana", Cancel));
        Assert.True(await Store.ExistsAsync(blob.Id, Cancel));
        Assert.True(await Store.RevokeAsync(blob.Id, "ben", cancellationToken: Cancel));
        Assert.False(await Store.ExistsAsync(blob.Id, Cancel));
        Assert.Equal(0, StoredCount);
        await PutAsync([1]);
        Assert.False(await Store.CanReadAsync(blob.Id, "ben", Cancel));
    }

    [Fact]
    public async Task TakingBackTheLastGrant_WhileAnotherStoresTheSameBytes_LeavesThem()
    {
        IBlobStore other = OpenAnother(Time);
        for (byte round = 0; round < 60; round++)
        {
            byte[] bytes = [round, 1];
            string id = (await Store.PutGrantedAsync((stream, token) => stream.WriteAsync(bytes, token).AsTask(), _ => "ana", Cancel)).Id;
            Task revoking = Task.Run(() => Store.RevokeAsync(id, "ana", cancellationToken: Cancel), Cancel);
            Task storing = Task.Run(() => other.PutGrantedAsync(
                async (stream, token) =>
                {
                    await stream.WriteAsync(bytes, token);
                    if (round % 2 == 0) await Task.Yield();
                }, _ => "ben", Cancel), Cancel);
            await Task.WhenAll(revoking, storing);
            Assert.True(await Store.CanReadAsync(id, "ben", Cancel));
            Assert.False(await Store.CanReadAsync(id, "ana", Cancel));
            await using Stream? stream = await other.OpenAsync(id, Cancel);
            Assert.NotNull(stream);
        }
    }

    [Fact]
    public async Task ARefusedBlob_IsNotStored()
    {
        await Assert.ThrowsAsync<FormatException>(() => Store.PutGrantedAsync(
            (stream, token) => stream.WriteAsync(new byte[] { 1 }, token).AsTask(), _ => throw new FormatException(), Cancel));
        Assert.Equal(0, StoredCount);
    }

    [Fact]
    public async Task WhatNobodyAskedFor_IsSwept_WithItsGrants()
    {
        BlobRef old = await PutAsync([1]);
        await Store.GrantAsync(old.Id, "ana", cancellationToken: Cancel);
        BlobRef used = await PutAsync([2]);
        Time.Advance(TimeSpan.FromMinutes(40));
        Assert.True(await Store.ExistsAsync(used.Id, Cancel));
        Time.Advance(TimeSpan.FromMinutes(40));
        Assert.Null(await Store.OpenAsync(old.Id, Cancel)); // expired, but not deleted yet
        Assert.False(await Store.CanReadAsync(old.Id, "ana", Cancel));
        Assert.Equal(1, await Store.DeleteExpiredAsync(Cancel));
        Assert.True(await Store.ExistsAsync(used.Id, Cancel));
        await PutAsync([1]);
        Assert.False(await Store.CanReadAsync(old.Id, "ana", Cancel));
        Time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(0, await Store.DeleteExpiredAsync(Cancel));
    }

    [Fact]
    public async Task OfManyBlobs_OnlyTheOldAreSwept()
    {
        List<BlobRef> blobs = [];
        for (byte i = 0; i < 60; i++) blobs.Add(await PutAsync([i]));
        Time.Advance(TimeSpan.FromMinutes(50));
        foreach (BlobRef used in blobs.Where((_, i) => i % 3 == 0)) Assert.True(await Store.ExistsAsync(used.Id, Cancel));
        Time.Advance(TimeSpan.FromMinutes(20));
        Assert.Equal(40, await Store.DeleteExpiredAsync(Cancel));
        foreach ((int i, BlobRef blob) in blobs.Index()) Assert.Equal(i % 3 == 0, await Store.ExistsAsync(blob.Id, Cancel));
    }

    [Fact]
    public async Task ADraft_ThatIsBeingWritten_IsNotSwept()
    {
        byte[] bytes = Bytes(11_000_000);
        BlobRef blob = await Store.PutAsync(async (stream, token) =>
        {
            await stream.WriteAsync(bytes, token);
            await OpenAnother(Time).DeleteExpiredAsync(token);
        }, Cancel);
        Assert.True(await Store.ExistsAsync(blob.Id, Cancel));
    }

    protected static byte[] Bytes(int length)
    {
        byte[] bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        return bytes;
    }

    protected Task<BlobRef> PutAsync(byte[] bytes, int step = int.MaxValue) => Store.PutAsync(async (stream, token) =>
    {
        for (int at = 0; at < bytes.Length; at += Math.Min(step, bytes.Length - at))
            await stream.WriteAsync(bytes.AsMemory(at, Math.Min(step, bytes.Length - at)), token);
    }, Cancel);
}
