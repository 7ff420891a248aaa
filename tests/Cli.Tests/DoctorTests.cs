using System.Text.Json;
using Ndif.Queue;
using Ndif.Queue.Redis;

namespace Ndif.Cli.Tests;

/// <summary>`ndif doctor` and the check at start-up, with real Redis servers and real processes.</summary>
public sealed class DoctorTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("password=wrong", "WRONGPASS")]
    [InlineData("user=nobody,password=wrong", "WRONGPASS")]
    [InlineData("", "NOAUTH")]
    [InlineData("user=guest,password=guest", "NOPERM")]
    [InlineData("password=right", null)]
    public async Task ARefusedPassword_IsSaid(string login, string? reason)
    {
        string users = _folder.File("users.acl");
        await File.WriteAllTextAsync(users, """
            user default on >right ~* &* +@all
            user guest on >guest ~other:* &* +@all
            """, TestContext.Current.CancellationToken);
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path, users: users);
        await using ChildProcess running = server;
        string redis = login.Length == 0 ? address : $"{address},{login}";

        IReadOnlyList<CheckResult> results = await RedisInspection.InspectAsync(redis,
            cancellationToken: TestContext.Current.CancellationToken);
        CheckResult first = results[0];
        if (reason is null)
        {
            Assert.Equal(CheckLevel.Ok, first.Level);
            return;
        }
        Assert.True(first.Level is CheckLevel.Error, $"{first}");
        Assert.Contains(reason, first.Message, StringComparison.Ordinal);
        (int code, string output, string errors) = await RunAsync("serve", "--redis", redis, "--data", _folder.Path, "--port", "0",
            "--http-port", "0", "--log-json");
        Assert.Equal(1, code);
        Assert.All((output + errors).Split('\n', StringSplitOptions.RemoveEmptyEntries), line => JsonDocument.Parse(line).Dispose());
        Assert.Contains(reason, errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Redis_ThatEvictsAndForgets_IsAnError_AndTheDoctorSaysWhatToDo()
    {
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path);
        await using ChildProcess running = server;
        using (var redis = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync($"{address},allowAdmin=true"))
            await redis.GetDatabase().ExecuteAsync("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
        (int code, string output, _) = await RunAsync("doctor", "--redis", address, "--data", _folder.Path, "--json");
        Assert.Equal(1, code);
        using JsonDocument results = JsonDocument.Parse(output);
        Dictionary<string, string> levels = results.RootElement.EnumerateArray()
            .ToDictionary(f => f.GetProperty("check").GetString()!, f => f.GetProperty("level").GetString()!);
        Assert.Equal("Error", levels["redis policy"]);
        Assert.Equal("Warning", levels["redis persistence"]);
        Assert.Equal("Warning", levels["redis password"]);
        Assert.Equal("Warning", levels["keys"]);
        foreach (string fine in (string[])["redis", "redis version", "clock", "blobs", "certificate"]) Assert.Equal("Ok", levels[fine]);

        (_, output, _) = await RunAsync("doctor", "--redis", address, "--data", _folder.Path, "--model", "ndif/tiny-landmarks");
        Assert.Contains("ERROR   redis policy: maxmemory-policy is allkeys-lru", output, StringComparison.Ordinal);
        Assert.Contains("ok      model ndif/tiny-landmarks", output, StringComparison.Ordinal);
    }

    /// <summary>A server whose user `default` may nothing forgets at a restart what scripts have written to its append-only file.</summary>
    [Theory]
    [InlineData("user default off", "Error")]
    [InlineData("user default off ~* &* +@all", "Ok")]
    public async Task AnAppendOnlyFile_IsReadAsTheDefaultUser(string defaultUser, string level)
    {
        string users = _folder.Write("users.acl", $"{defaultUser}\nuser ndif on >right ~ndif:* &ndif:* +@all -@dangerous +info +acl|dryrun\n"
            + "user old on >right ~ndif:* &ndif:* +@all -@dangerous +info\n");
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path, durable: true, users: users);
        await using ChildProcess running = server;
        Assert.Equal(level, await FindAsync("ndif"));
        Assert.Equal("Warning", await FindAsync("old")); // may not ask

        async Task<string> FindAsync(string user) => (await RedisInspection.InspectAsync($"{address},user={user},password=right",
            cancellationToken: TestContext.Current.CancellationToken)).Single(found => found.Check == "redis default user").Level.ToString();
    }

    [Fact]
    public async Task Keys_OfAFile_SayWhichServiceReadsThem_AndOfAnUnknownTierThereAreNone()
    {
        (int code, _, string errors) = await RunAsync("keys", "create", "ada", "--data", _folder.Path);
        Assert.Equal(0, code);
        Assert.Contains("A service with --redis keeps its keys in Redis", errors, StringComparison.Ordinal);
        (code, _, errors) = await RunAsync("keys", "create", "bob", "--data", _folder.Path, "--tier", "standrd");
        Assert.Equal(1, code);
        Assert.Contains("Did you mean `standard`?", errors, StringComparison.Ordinal);
        (code, _, errors) = await RunAsync(
            "keys", "create", "bob", "--data", _folder.Path, "--tier", "lab", "--set", "Gateway:Tiers:lab:Weight=4");
        Assert.True(code == 0, errors);
    }

    private static async Task<(int Code, string Output, string Errors)> RunAsync(params string[] arguments)
    {
        await using ChildProcess tool = ChildProcess.Start(
            $"ndif {arguments[0]}", BuildOutput.Dotnet, [BuildOutput.Tool, .. arguments]);
        int code = await tool.WaitForExitAsync();
        return (code, string.Join('\n', tool.Lines), tool.Errors);
    }
}
