using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue.Blobs;
using Ndif.Queue.Tests.Support;
using StackExchange.Redis;

namespace Ndif.Queue.Tests;

/// <summary>The contract test of all implementations of <see cref="IPublishedEdits"/>.</summary>
public abstract class PublishedEditsContract : IAsyncLifetime
{
    protected const int Most = 3;

    protected abstract QueueBackend NewBackend();

    private QueueBackend Backend { get; set; } = null!;

    private IPublishedEdits Edits => Backend.Edits;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        Backend = NewBackend();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await Backend.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Edits_AreFoundByTheirOwner_AndByEveryoneIfTheyArePublic()
    {
        EditsInfo hidden = New("ada", "hidden"), shared = New("ada", "shared", isPublic: true);
        await Edits.SetAsync(hidden, Most, null, Cancel);
        await Edits.SetAsync(shared, Most, null, Cancel);
        Assert.Equal(hidden, await Edits.FindAsync("ada", "hidden", Cancel));
        Assert.Null(await Edits.FindAsync("bob", "hidden", Cancel));
        Assert.Equal(shared, await Edits.FindAsync("bob", "shared", Cancel));
        Assert.Equal([hidden.WithoutBlobs(), shared.WithoutBlobs()], await Edits.ListAsync("ada", Cancel));
        Assert.Equal([shared.WithoutBlobs()], await Edits.ListAsync("bob", Cancel));
        await Edits.SetAsync(New("bob", "shared"), Most, null, Cancel);
        Assert.Equal(["bob", "ada"], (await Edits.ListAsync("bob", Cancel)).Select(each => each.Owner)); // its own first
        List<EditsInfo> all = [];
        await foreach (EditsInfo each in Edits.ReadAllAsync(Cancel)) all.Add(each);
        Assert.Equal(
            [hidden, shared, New("bob", "shared")], all.OrderBy(each => $"{each.Owner} {each.Name}", StringComparer.Ordinal));
    }

    [Fact]
    public async Task Edits_CountForTheBytesOfTheirOwner_UntilTheyAreDeleted()
    {
        IStorageAccounts storage = Backend.Jobs.Storage;
        StorageLimits limits = new(QueueBytes: 30_000);
        EditsInfo large = New("ada", "large");
        for (int i = 0; i < 256; i++) large.Constants.Add(new BlobRef { Id = $"{i}".PadLeft(64, 'c'), Length = 1 << 20 });
        await Edits.SetAsync(large, Most, limits, Cancel);
        StoredBytes stored = await storage.GetAsync("ada", Cancel);
        Assert.InRange(stored.Queue, large.CalculateSize(), large.CalculateSize() + 1500);
        Assert.Equal(stored, await storage.GetAsync("", Cancel));

        await Edits.SetAsync(large, Most, limits, Cancel); // in place of the same
        Assert.Equal(stored, await storage.GetAsync("ada", Cancel));
        EditsInfo second = large.Clone();
        second.Name = "second";
        NdifException full = await Assert.ThrowsAnyAsync<NdifException>(() => Edits.SetAsync(second, Most, limits, Cancel));
        Assert.Equal(ErrorCode.QuotaExceeded, full.Code);
        Assert.Null(await Edits.FindAsync("ada", "second", Cancel));
        await Edits.SetAsync(second, Most, null, Cancel);
        await Edits.SetAsync(New("ada", "second"), Most, limits, Cancel); // less than before, although it is still too much
        Assert.InRange((await storage.GetAsync("ada", Cancel)).Queue, stored.Queue, stored.Queue + 2000);

        foreach (string name in (string[])["large", "second"]) Assert.True(await Edits.RemoveAsync("ada", name, Cancel));
        Assert.False(await Edits.RemoveAsync("ada", "large", Cancel));
        Assert.Equal((new StoredBytes(0, 0), new StoredBytes(0, 0)),
            (await storage.GetAsync("ada", Cancel), await storage.GetAsync("", Cancel)));
    }

    [Fact]
    public async Task EditsOfAKeyThatWasRevokedMeanwhile_AreRefused()
    {
        await Edits.SetAsync(New("ada", "before"), Most, null, Cancel);
        await Backend.Jobs.CloseOwnerAsync("ada", "Its key was revoked.", Cancel);
        foreach (string name in (string[])["before", "late"])
            Assert.Equal(ErrorCode.Unauthenticated, (await Assert.ThrowsAnyAsync<NdifException>(
                () => Edits.SetAsync(New("ada", name, isPublic: true), Most, null, Cancel))).Code);
        Assert.Null(await Edits.FindAsync("ada", "late", Cancel));
        Assert.Null(await Edits.FindAsync("bob", "before", Cancel));
        Assert.True(await Edits.RemoveAsync("ada", "before", Cancel));
        await Edits.SetAsync(New("bob", "late"), Most, null, Cancel);
    }

    [Fact]
    public async Task AName_IsTheOwnersFirst_AndAPublicOneIsThatOfOneOwner()
    {
        await Edits.SetAsync(New("ada", "x", isPublic: true), Most, null, Cancel);
        EditsInfo own = New("bob", "x");
        await Edits.SetAsync(own, Most, null, Cancel);
        Assert.Equal(own, await Edits.FindAsync("bob", "x", Cancel));
        Assert.Equal("ada", (await Edits.FindAsync("eve", "x", Cancel))?.Owner);
        NdifException taken = await Assert.ThrowsAnyAsync<NdifException>(
            () => Edits.SetAsync(New("bob", "x", isPublic: true), Most, null, Cancel));
        Assert.Equal(ErrorCode.BadArgument, taken.Code);
        Assert.Equal(own, await Edits.FindAsync("bob", "x", Cancel)); // as before

        await Edits.SetAsync(New("ada", "x"), Most, null, Cancel); // no longer public
        Assert.Null(await Edits.FindAsync("eve", "x", Cancel));
        await Edits.SetAsync(New("bob", "x", isPublic: true), Most, null, Cancel);
        Assert.Equal("bob", (await Edits.FindAsync("eve", "x", Cancel))?.Owner);
    }

    [Fact]
    public async Task AnOwner_HasAtMostSoMany_AndMayReplaceAndDeleteThem()
    {
        for (int i = 0; i < Most; i++) await Edits.SetAsync(New("ada", $"n{i}"), Most, null, Cancel);
        NdifException full = await Assert.ThrowsAnyAsync<NdifException>(() => Edits.SetAsync(New("ada", "more"), Most, null, Cancel));
        Assert.Equal(ErrorCode.QuotaExceeded, full.Code);
        await Edits.SetAsync(New("bob", "more"), Most, null, Cancel);
        EditsInfo changed = New("ada", "n0", nodes: 77);
        await Edits.SetAsync(changed, Most, null, Cancel);
        Assert.Equal(changed, await Edits.FindAsync("ada", "n0", Cancel));
        Assert.False(await Edits.RemoveAsync("bob", "n0", Cancel));
        Assert.True(await Edits.RemoveAsync("ada", "n0", Cancel));
        Assert.False(await Edits.RemoveAsync("ada", "n0", Cancel));
        await Edits.SetAsync(New("ada", "more", isPublic: true), Most, null, Cancel);
        Assert.True(await Edits.RemoveAsync("ada", "more", Cancel));
        Assert.Null(await Edits.FindAsync("eve", "more", Cancel));
    }

    protected static EditsInfo New(string owner, string name, bool isPublic = false, uint nodes = 3) => new()
    {
        Name = name, Owner = owner, Public = isPublic, Nodes = nodes, Model = new ModelRef { Id = "m" },
        Created = new Timestamp { Seconds = 1 }, Program = new BlobRef { Id = new string('a', 64), Length = 9 },
        Constants = { new BlobRef { Id = new string('b', 64), Length = 99 } },
    };
}

public sealed class InMemoryPublishedEditsTests : PublishedEditsContract
{
    protected override QueueBackend NewBackend() => QueueBackend.InMemory();
}

public sealed class RedisPublishedEditsTests(RedisServer server) : PublishedEditsContract
{
    private readonly QueueOptions _options = new() { Prefix = $"ndif:test-{Guid.NewGuid():n}:" };

    protected override QueueBackend NewBackend() => QueueBackend.Redis(server.ServiceConnection.Configuration, _options);

    [Fact]
    public async Task EditsThatAnEarlierVersionPublished_AreListed_AndChangeNoCountsWhenTheyAreDeleted()
    {
        CancellationToken cancel = TestContext.Current.CancellationToken;
        await using QueueBackend backend = NewBackend();
        EditsInfo edits = New("ada", "old", isPublic: true);
        await backend.Edits.SetAsync(edits, Most, null, cancel);
        IDatabase database = server.OperatorConnection.GetDatabase();
        foreach (string added in (string[])["edit_summaries:ada", "public_edit_summaries", "edit_bytes", "queue_bytes", "totals"])
            Assert.True(await database.KeyDeleteAsync(_options.Prefix + added));
        foreach (string reader in (string[])["ada", "bob"])
            Assert.Equal([edits.WithoutBlobs()], await backend.Edits.ListAsync(reader, cancel));
        Assert.True(await backend.Edits.RemoveAsync("ada", "old", cancel));
        Assert.Empty(await backend.Edits.ListAsync("bob", cancel));
        Assert.Equal(new StoredBytes(0, 0), await backend.Jobs.Storage.GetAsync("", cancel));
    }

    /// <summary>The lists of many keys at a time fill the connection of a gateway if each reads the blobs of all edits.</summary>
    [Fact]
    public async Task AList_ReadsLittleOfLargeEdits()
    {
        const int Count = 20;
        CancellationToken cancel = TestContext.Current.CancellationToken;
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
            await backend.Edits.SetAsync(large, Count, null, cancel);
            bytes += large.CalculateSize();
        }
        IServer there = connection.GetServers()[0];
        long before = await GetSentBytesAsync(there);
        Assert.Equal(Count / 2, (await backend.Edits.ListAsync("eve", cancel)).Count);
        long sent = await GetSentBytesAsync(there) - before;
        Assert.True(sent < bytes / 10, $"{sent} bytes were sent of {bytes}");

        static async Task<long> GetSentBytesAsync(IServer there) => long.Parse(
            (await there.InfoAsync("stats")).SelectMany(group => group).First(entry => entry.Key == "total_net_output_bytes").Value,
            System.Globalization.CultureInfo.InvariantCulture);
    }
}
