using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;
using Ndif.Queue.Tests.Support;

namespace Ndif.Queue.Tests;

/// <summary>The contract test of all implementations of <see cref="IPublishedEdits"/>.</summary>
public abstract class PublishedEditsContract : IAsyncLifetime
{
    private const int Most = 3;

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
        await Edits.SetAsync(hidden, Most, Cancel);
        await Edits.SetAsync(shared, Most, Cancel);
        Assert.Equal(hidden, await Edits.FindAsync("ada", "hidden", Cancel));
        Assert.Null(await Edits.FindAsync("bob", "hidden", Cancel));
        Assert.Equal(shared, await Edits.FindAsync("bob", "shared", Cancel));
        Assert.Equal([hidden, shared], await Edits.ListAsync("ada", Cancel));
        Assert.Equal([shared], await Edits.ListAsync("bob", Cancel));
        Assert.Equal([hidden, shared], await Edits.ListAsync("", Cancel));
    }

    [Fact]
    public async Task AName_IsTheOwnersFirst_AndAPublicOneIsThatOfOneOwner()
    {
        await Edits.SetAsync(New("ada", "x", isPublic: true), Most, Cancel);
        EditsInfo own = New("bob", "x");
        await Edits.SetAsync(own, Most, Cancel);
        Assert.Equal(own, await Edits.FindAsync("bob", "x", Cancel));
        Assert.Equal("ada", (await Edits.FindAsync("eve", "x", Cancel))?.Owner);
        NdifException taken = await Assert.ThrowsAnyAsync<NdifException>(
            () => Edits.SetAsync(New("bob", "x", isPublic: true), Most, Cancel));
        Assert.Equal(ErrorCode.BadArgument, taken.Code);
        Assert.Equal(own, await Edits.FindAsync("bob", "x", Cancel)); // as before

        await Edits.SetAsync(New("ada", "x"), Most, Cancel); // no longer public
        Assert.Null(await Edits.FindAsync("eve", "x", Cancel));
        await Edits.SetAsync(New("bob", "x", isPublic: true), Most, Cancel);
        Assert.Equal("bob", (await Edits.FindAsync("eve", "x", Cancel))?.Owner);
    }

    [Fact]
    public async Task AnOwner_HasAtMostSoMany_AndMayReplaceAndDeleteThem()
    {
        for (int i = 0; i < Most; i++) await Edits.SetAsync(New("ada", $"n{i}"), Most, Cancel);
        NdifException full = await Assert.ThrowsAnyAsync<NdifException>(() => Edits.SetAsync(New("ada", "more"), Most, Cancel));
        Assert.Equal(ErrorCode.QuotaExceeded, full.Code);
        await Edits.SetAsync(New("bob", "more"), Most, Cancel);
        EditsInfo changed = New("ada", "n0", nodes: 77);
        await Edits.SetAsync(changed, Most, Cancel);
        Assert.Equal(changed, await Edits.FindAsync("ada", "n0", Cancel));
        Assert.False(await Edits.RemoveAsync("bob", "n0", Cancel));
        Assert.True(await Edits.RemoveAsync("ada", "n0", Cancel));
        Assert.False(await Edits.RemoveAsync("ada", "n0", Cancel));
        await Edits.SetAsync(New("ada", "more", isPublic: true), Most, Cancel);
        Assert.True(await Edits.RemoveAsync("ada", "more", Cancel));
        Assert.Null(await Edits.FindAsync("eve", "more", Cancel));
    }

    private static EditsInfo New(string owner, string name, bool isPublic = false, uint nodes = 3) => new()
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
}
