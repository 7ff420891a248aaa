namespace Ndif.EndToEnd;

public sealed class KeyTests(Cluster cluster, ITestOutputHelper output) : ClusterTests(cluster, output)
{
    [Fact]
    public async Task AMissingWrongOrMalformedKey_IsRefusedWithAnAccessException()
    {
        string wrong = Cluster.Key[..^43] + new string('A', 43);
        await using Child none = Cluster.User("", "run", "states"), other = Cluster.User(wrong, "run", "states"), nonsense = Cluster.User("secret", "run", "states");
        await RefusedAsync(none, "This service needs a key, and the call has none.");
        await RefusedAsync(other, "This service does not know the key.");
        await RefusedAsync(nonsense, "This is not a key");
    }

    [Fact]
    public async Task AKey_WorksUntilItIsRevoked_AndIsListedWithoutItsSecret()
    {
        string key = await Cluster.NewKeyAsync("Ada Lovelace");
        string id = key.Split('_')[1];
        await using (Child client = Cluster.User(key, "run", "prompt:0")) await client.ResultsAsync();

        string valid = await KeysAsync("list");
        Assert.Contains(id, valid, StringComparison.Ordinal);
        Assert.Contains("Ada Lovelace", valid, StringComparison.Ordinal);
        Assert.DoesNotContain(key.Split('_', 3)[2], valid, StringComparison.Ordinal);

        Assert.Contains($"Revoked key {id}", await KeysAsync("revoke", id), StringComparison.Ordinal);
        Assert.Contains("revoked", (await KeysAsync("list")).Split('\n').Single(line => line.Contains(id, StringComparison.Ordinal)), StringComparison.Ordinal);
        await using Child late = Cluster.User(key, "run", "prompt:0");
        await RefusedAsync(late, $"The key {id} was revoked on");
    }

    [Fact]
    public async Task AKeyForAnotherModel_IsRefusedThisOne()
    {
        await using Child client = Cluster.User(await Cluster.NewKeyAsync("narrow", "--model", "openai-community/gpt2"), "run", "states");
        await RefusedAsync(client, $"may not use the model `{Experiments.Model}`");
    }

    [Fact]
    public async Task NoProcess_WritesAPasswordOrAKey()
    {
        await using (Child client = Cluster.User(Cluster.Key, "run", "prompt:1")) await client.ResultsAsync();
        const string Wrong = "wrong-password-of-a-test";
        await using Child lost = Cluster.Tool("keys", "list", "--redis", Cluster.RedisAddress.Replace(RedisUsers.ServicePassword, Wrong, StringComparison.Ordinal), "--data", Cluster.Data);
        Assert.Equal(1, await lost.EndAsync());
        foreach (Child child in (Child[])[Cluster.Gateway, .. Cluster.Workers.Values, lost])
        {
            string said = string.Join('\n', child.Lines) + child.Errors;
            Assert.True(said.Length > 0, child.Name);
            foreach (string secret in (string[])[RedisUsers.ServicePassword, RedisUsers.OperatorPassword, Wrong, Cluster.Key.Split('_', 3)[2]])
                Assert.False(said.Contains(secret, StringComparison.Ordinal), $"{child.Name} wrote a secret.");
        }
    }

    private async Task<string> KeysAsync(params string[] arguments)
    {
        await using Child keys = Cluster.Tool(["keys", .. arguments, "--redis", Cluster.RedisAddress, "--data", Cluster.Data]);
        Assert.Equal(0, await keys.EndAsync());
        return string.Join('\n', keys.Lines);
    }

    private static async Task RefusedAsync(Child client, string because)
    {
        Told error = await client.ErrorAsync();
        Assert.Equal(nameof(AccessException), error.Name);
        Assert.Contains(because, error.Text, StringComparison.Ordinal);
    }
}
