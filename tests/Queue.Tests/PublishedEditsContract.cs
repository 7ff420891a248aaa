using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Queue.Tests;

/// <summary>The contract test of all implementations of <see cref="IPublishedEdits"/>.</summary>
public abstract class PublishedEditsContract : IAsyncLifetime
{
    protected const int Most = 3;

    protected abstract QueueBackend NewBackend();

    private QueueBackend Backend { get; set; } = null!;

    private IPublishedEdits Edits => Backend.Edits;

    protected static CancellationToken Cancel => TestContext.Current.CancellationToken;

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
        await Edits.ReconcileAsync(Cancel); // nothing: all of it is of this version
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
