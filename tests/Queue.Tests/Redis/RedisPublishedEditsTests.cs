using Google.Protobuf;
using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Rules;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests.Redis;

/// <summary>Published edits on Redis: what other versions of a gateway leave there, and the cost of lists.</summary>
public sealed class RedisPublishedEditsTests(RedisServer server) : PublishedEditsContract
{
    private readonly QueueOptions _options = new() { Prefix = $"ndif:test-{Guid.NewGuid():n}:" };

    protected override QueueBackend NewBackend() => QueueBackend.Redis(server.ServiceConnection.Configuration, _options);

    [Fact]
    public async Task EditsThatAnEarlierVersionPublished_AreListed_AndChangeNoCountsWhenTheyAreDeleted()
    {
        await using QueueBackend backend = NewBackend();
        EditsInfo edits = New("ada", "old", isPublic: true);
        await backend.Edits.SetAsync(edits, Most, null, Cancel);
        IDatabase database = server.OperatorConnection.GetDatabase();
        foreach (string added in (string[])["edit_summaries:ada", "edit_bytes", "queue_bytes", "totals"])
            Assert.True(await database.KeyDeleteAsync(_options.Prefix + added));
        foreach (string reader in (string[])["ada", "bob"])
            Assert.Equal([edits.WithoutBlobs()], await backend.Edits.ListAsync(reader, Cancel));
        Assert.True(await backend.Edits.RemoveAsync("ada", "old", Cancel));
        Assert.Empty(await backend.Edits.ListAsync("bob", Cancel));
        Assert.Equal(new StoredBytes(0, 0), await backend.Jobs.Storage.GetAsync("", Cancel));
    }

    /// <summary>Gateways are upgraded one by one, and the earlier version writes neither summaries nor counts.</summary>
    [Fact]
    public async Task NamesThatAnEarlierVersionDeleted_AreNotListed_AndThoseItPublishedAre()
    {
        await using QueueBackend backend = NewBackend();
        await backend.Edits.SetAsync(New("ada", "ghost", isPublic: true), Most, null, Cancel);
        await backend.Edits.SetAsync(New("ada", "kept", isPublic: true), Most, null, Cancel);
        await DeleteAsEarlierAsync("ada", "ghost");
        EditsInfo added = New("ada", "added", isPublic: true);
        await PublishAsEarlierAsync(added);
        foreach (string reader in (string[])["ada", "bob"])
            Assert.Equal([added.WithoutBlobs(), New("ada", "kept", isPublic: true).WithoutBlobs()],
                await backend.Edits.ListAsync(reader, Cancel));
        Assert.False(await backend.Edits.RemoveAsync("ada", "ghost", Cancel));
        foreach (string name in (string[])["kept", "added"]) Assert.True(await backend.Edits.RemoveAsync("ada", name, Cancel));
        foreach (string reader in (string[])["ada", "bob"]) Assert.Empty(await backend.Edits.ListAsync(reader, Cancel));
        Assert.Equal(new StoredBytes(0, 0), await backend.Jobs.Storage.GetAsync("", Cancel));
    }

    [Fact]
    public async Task WhatAnEarlierVersionPublishedAndDeleted_IsCounted_AndListedAsItIs_WhenItIsReconciled()
    {
        await using QueueBackend backend = NewBackend();
        IStorageAccounts storage = backend.Jobs.Storage;
        await backend.Edits.SetAsync(New("bob", "ghost"), Most, null, Cancel);
        await backend.Edits.SetAsync(New("ada", "replaced", isPublic: true), Most, null, Cancel);
        await DeleteAsEarlierAsync("bob", "ghost");
        EditsInfo replaced = New("ada", "replaced", nodes: 7), added = New("ada", "added", isPublic: true);
        for (int i = 0; i < 100; i++) replaced.Constants.Add(new BlobRef { Id = $"{i}".PadLeft(64, 'c'), Length = 1 << 20 });
        foreach (EditsInfo edits in (EditsInfo[])[replaced, added]) await PublishAsEarlierAsync(edits);
        Assert.Equal([added.WithoutBlobs()], await backend.Edits.ListAsync("bob", Cancel));

        long bytes = StorageRules.CountEdits(replaced) + StorageRules.CountEdits(added);
        for (int i = 0; i < 2; i++) // the second time changes nothing
        {
            await backend.Edits.ReconcileAsync(Cancel);
            Assert.Equal([added.WithoutBlobs(), replaced.WithoutBlobs()], await backend.Edits.ListAsync("ada", Cancel));
            Assert.Equal([added.WithoutBlobs()], await backend.Edits.ListAsync("bob", Cancel));
            Assert.Equal(new StoredBytes(bytes, 0), await storage.GetAsync("ada", Cancel));
            Assert.Equal(new StoredBytes(0, 0), await storage.GetAsync("bob", Cancel));
            Assert.Equal(new StoredBytes(bytes, 0), await storage.GetAsync("", Cancel));
        }
        Assert.Equal(2, await server.OperatorConnection.GetDatabase().HashLengthAsync(_options.Prefix + "edit_summaries:ada"));
        foreach (string name in (string[])["replaced", "added"]) Assert.True(await backend.Edits.RemoveAsync("ada", name, Cancel));
        Assert.Equal(new StoredBytes(0, 0), await storage.GetAsync("", Cancel));
    }

    /// <summary>The lists of many keys at a time fill the connection of a gateway if each reads the blobs of all edits.</summary>
    [Fact]
    public async Task AList_ReadsLittleOfLargeEdits()
    {
        const int Count = 20;
        using var folder = new TempFolder();
        (ChildProcess process, string address) = await RedisProcess.StartAsync(folder.Path);
        await using ChildProcess stopped = process;
        await using ConnectionMultiplexer connection = await ConnectionMultiplexer.ConnectAsync($"{address},allowAdmin=true");
        await using QueueBackend backend = QueueBackend.Redis(address, _options, new BlobOptions { Root = folder.Path });
        long bytes = 0;
        for (int i = 0; i < Count; i++)
        {
            EditsInfo large = New(i % 2 == 0 ? "ada" : "bob", $"n{i}", isPublic: i % 2 == 0);
            for (int k = 0; k < 256; k++) large.Constants.Add(new BlobRef { Id = $"{k}".PadLeft(64, 'c'), Length = 1 << 20 });
            await backend.Edits.SetAsync(large, Count, null, Cancel);
            bytes += large.CalculateSize();
        }
        IServer there = connection.GetServers()[0];
        long before = await GetSentBytesAsync(there);
        Assert.Equal(Count / 2, (await backend.Edits.ListAsync("eve", Cancel)).Count);
        long sent = await GetSentBytesAsync(there) - before;
        Assert.True(sent < bytes / 10, $"{sent} bytes were sent of {bytes}");

        static async Task<long> GetSentBytesAsync(IServer there) => long.Parse(
            (await there.InfoAsync("stats")).SelectMany(group => group).First(entry => entry.Key == "total_net_output_bytes").Value,
            System.Globalization.CultureInfo.InvariantCulture);
    }

    private async Task PublishAsEarlierAsync(EditsInfo edits)
    {
        IDatabase database = server.OperatorConnection.GetDatabase();
        await database.HashSetAsync($"{_options.Prefix}edits:{edits.Owner}", edits.Name, edits.ToByteArray());
        await database.SetAddAsync($"{_options.Prefix}publishers", edits.Owner);
        if (edits.Public) await database.HashSetAsync($"{_options.Prefix}public_edits", edits.Name, edits.Owner);
        else await database.HashDeleteAsync($"{_options.Prefix}public_edits", edits.Name);
    }

    private async Task DeleteAsEarlierAsync(string owner, string name)
    {
        IDatabase database = server.OperatorConnection.GetDatabase();
        await database.HashDeleteAsync($"{_options.Prefix}edits:{owner}", name);
        await database.HashDeleteAsync($"{_options.Prefix}public_edits", name);
    }
}
