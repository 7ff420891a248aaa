namespace Ndif.EndToEnd.Tests;

public sealed class KeyTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task AMissingWrongOrMalformedKey_IsRefusedWithAnAccessException()
    {
        string wrong = Cluster.Key[..^43] + new string('A', 43);
        await using ChildProcess none = Cluster.StartClient("", "run", "states"), other = Cluster.StartClient(wrong, "run", "states"),
            nonsense = Cluster.StartClient("secret", "run", "states");
        await AssertRefusedAsync(none, "This service needs a key, and the call has none.");
        await AssertRefusedAsync(other, "This service does not know the key.");
        await AssertRefusedAsync(nonsense, "This is not a key");
    }

    [Fact]
    public async Task AKey_WorksUntilItIsRevoked_AndIsListedWithoutItsSecret()
    {
        string key = await Cluster.CreateKeyAsync("Ada Lovelace");
        string id = key.Split('_')[1];
        await using (ChildProcess client = Cluster.StartClient(key, "run", "prompt:0")) await client.GetResultChecksumsAsync();

        string valid = await RunKeysCommandAsync("list");
        Assert.Contains(id, valid, StringComparison.Ordinal);
        Assert.Contains("Ada Lovelace", valid, StringComparison.Ordinal);
        Assert.DoesNotContain(key.Split('_', 3)[2], valid, StringComparison.Ordinal);

        Assert.Contains($"Revoked key {id}", await RunKeysCommandAsync("revoke", id), StringComparison.Ordinal);
        Assert.Contains("revoked", (await RunKeysCommandAsync("list")).Split('\n')
            .Single(line => line.Contains(id, StringComparison.Ordinal)), StringComparison.Ordinal);
        await using ChildProcess late = Cluster.StartClient(key, "run", "prompt:0");
        await AssertRefusedAsync(late, $"The key {id} was revoked on");
    }

    [Fact]
    public async Task AKeyForAnotherModel_IsRefusedThisOne()
    {
        await using ChildProcess client =
            Cluster.StartClient(await Cluster.CreateKeyAsync("narrow", "--model", "openai-community/gpt2"), "run", "states");
        await AssertRefusedAsync(client, $"may not use the model `{Experiments.Model}`");
    }

    [Fact]
    public async Task NoProcess_WritesAPasswordOrAKey()
    {
        await using (ChildProcess client = Cluster.StartClient(Cluster.Key, "run", "prompt:1")) await client.GetResultChecksumsAsync();
        const string Wrong = "wrong-password-of-a-test";
        await using ChildProcess lost =
            Cluster.StartTool("keys", "list", "--redis",
                Cluster.RedisAddress.Replace(RedisUsers.ServicePassword, Wrong, StringComparison.Ordinal), "--data", Cluster.DataFolder);
        Assert.Equal(1, await lost.WaitForExitAsync());
        foreach (ChildProcess child in (ChildProcess[])[Cluster.Gateway, .. Cluster.Workers.Values, lost])
        {
            string said = string.Join('\n', child.Lines) + child.Errors;
            Assert.True(said.Length > 0, child.Name);
            foreach (string secret in (string[])[RedisUsers.ServicePassword, RedisUsers.OperatorPassword, Wrong,
                Cluster.Key.Split('_', 3)[2]])
                Assert.False(said.Contains(secret, StringComparison.Ordinal), $"{child.Name} wrote a secret.");
        }
    }

    private async Task<string> RunKeysCommandAsync(params string[] arguments)
    {
        await using ChildProcess keys =
            Cluster.StartTool(["keys", .. arguments, "--redis", Cluster.RedisAddress, "--data", Cluster.DataFolder]);
        Assert.Equal(0, await keys.WaitForExitAsync());
        return string.Join('\n', keys.Lines);
    }

    private static async Task AssertRefusedAsync(ChildProcess client, string because)
    {
        ClientMessage error = await client.GetErrorAsync();
        Assert.Equal(nameof(AccessException), error.Name);
        Assert.Contains(because, error.Text, StringComparison.Ordinal);
    }
}
