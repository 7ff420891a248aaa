using Ndif.Server.Keys;
using Ndif.Server.Tests.Support;

namespace Ndif.Server.Tests.Keys;

/// <summary>The contract test of all key stores.</summary>
public abstract class KeyStoreContract
{
    private protected abstract IKeyStore Open();

    [Fact]
    public async Task Added_IsFound_WithEverythingInIt()
    {
        IKeyStore store = Open();
        KeyRecord key = Record("aaaaaaaa") with { Models = ["gpt2"], Expires = DateTimeOffset.UnixEpoch.AddYears(99) };
        Assert.True(await store.AddAsync(key, TestGateway.Cancel));

        KeyRecord found = (await Open().FindAsync(key.Id, TestGateway.Cancel))!;

        Assert.Equivalent(key, found, strict: true);
        Assert.Null(await store.FindAsync("zzzzzzzz", TestGateway.Cancel));
    }

    [Fact]
    public async Task TakenId_IsNotAddedAgain()
    {
        IKeyStore store = Open();
        Assert.True(await store.AddAsync(Record("aaaaaaaa"), TestGateway.Cancel));
        Assert.False(await store.AddAsync(Record("aaaaaaaa") with { Name = "other" }, TestGateway.Cancel));
        Assert.Equal("ada", (await store.FindAsync("aaaaaaaa", TestGateway.Cancel))!.Name);
    }

    [Fact]
    public async Task Revoked_StaysRevoked_AtItsFirstTime()
    {
        IKeyStore store = Open();
        await store.AddAsync(Record("aaaaaaaa"), TestGateway.Cancel);
        DateTimeOffset first = DateTimeOffset.UnixEpoch.AddYears(60);

        Assert.Equal(first, (await store.RevokeAsync("aaaaaaaa", first, TestGateway.Cancel))!.Revoked);
        Assert.Equal(first, (await store.RevokeAsync("aaaaaaaa", first.AddDays(1), TestGateway.Cancel))!.Revoked);
        Assert.Equal(first, (await Open().FindAsync("aaaaaaaa", TestGateway.Cancel))!.Revoked);
        Assert.Null(await store.RevokeAsync("zzzzzzzz", first, TestGateway.Cancel));
    }

    [Fact]
    public async Task Revision_IsAnother_AfterEachRevocation()
    {
        IKeyStore store = Open(), gateway = Open();
        HashSet<string> seen = [await gateway.GetRevisionAsync(TestGateway.Cancel)];
        foreach (string id in (string[])["aaaaaaaa", "bbbbbbbb"])
        {
            await store.AddAsync(Record(id), TestGateway.Cancel);
            string before = await gateway.GetRevisionAsync(TestGateway.Cancel);
            seen.Add(before);
            Assert.Equal(before, await gateway.GetRevisionAsync(TestGateway.Cancel)); // reading does not change it
            await store.RevokeAsync(id, DateTimeOffset.UnixEpoch.AddYears(60), TestGateway.Cancel);
            string after = await gateway.GetRevisionAsync(TestGateway.Cancel);
            Assert.True(seen.Add(after));
            Assert.Equal(after, await Open().GetRevisionAsync(TestGateway.Cancel));
        }
    }

    [Fact]
    public async Task List_IsOldestFirst()
    {
        IKeyStore store = Open();
        foreach (string id in (string[])["cccccccc", "aaaaaaaa", "bbbbbbbb"]) await store.AddAsync(Record(id), TestGateway.Cancel);
        Assert.Equal(["cccccccc", "aaaaaaaa", "bbbbbbbb"], (await Open().ListAsync(TestGateway.Cancel)).Select(key => key.Id));
    }

    [Fact]
    public async Task ManyWriters_LoseNothing()
    {
        IKeyStore[] stores = [Open(), Open(), Open()];
        await Task.WhenAll(Enumerable.Range(0, 60).Select(i => stores[i % 3].AddAsync(Record($"key{i:00000}"), TestGateway.Cancel)));
        Assert.Equal(60, (await Open().ListAsync(TestGateway.Cancel)).Count);
    }

    private int _createdCount;

    private KeyRecord Record(string id) =>
        new(id, new string('0', 64), "ada", [Scopes.Run], "standard", [],
            DateTimeOffset.UnixEpoch.AddYears(50).AddSeconds(_createdCount++));
}
