using System.Globalization;
using System.Net;
using System.Net.Sockets;
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

    [Fact]
    public async Task ASlowRedis_IsNotOneThatDoesNotRespond()
    {
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path);
        await using ChildProcess running = server;
        await using var proxy = new TcpProxy(() => int.Parse(address.Split(':')[1], CultureInfo.InvariantCulture))
        {
            Delay = TimeSpan.FromSeconds(1.5), // in each direction
        };
        IReadOnlyList<CheckResult> results = await RedisInspection.InspectAsync($"127.0.0.1:{proxy.Port}",
            cancellationToken: TestContext.Current.CancellationToken);
        CheckResult first = results[0];
        Assert.True(first.Level is CheckLevel.Warning, $"{first}");
        Assert.Matches(@"^It is slow: it answered after [3-9]\.\d s", first.Message);
        Assert.Equal(CheckLevel.Ok, results.Single(result => result.Check == "clock").Level);
    }

    [Fact]
    public async Task ARedisThatHangs_IsNotOneThatIsNotThere()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        CheckResult result = Assert.Single(await RedisInspection.InspectAsync($"{silent.LocalEndpoint},password=secret",
            cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal(CheckLevel.Error, result.Level);
        Assert.Contains($"did not answer within 15 s at {silent.LocalEndpoint}.", result.Message, StringComparison.Ordinal);
    }

    /// <summary>A server whose user `default` may nothing forgets at a restart what scripts have written to its append-only file.</summary>
    [Theory]
    [InlineData("user default off", "Error")]
    [InlineData("user default off ~* &* +@all", "Ok")]
    public async Task AnAppendOnlyFile_IsReadAsTheDefaultUser(string defaultUser, string level)
    {
        string users = _folder.Write("users.acl", $"""
            {defaultUser}
            user ndif on >right ~ndif:* &ndif:* +@all -@dangerous +info +acl|dryrun
            user old on >right ~ndif:* &ndif:* +@all -@dangerous +info
            """);
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path, durable: true, users: users);
        await using ChildProcess running = server;
        Assert.Equal(level, await FindAsync("ndif"));
        Assert.Equal("Warning", await FindAsync("old")); // may not ask

        async Task<string> FindAsync(string user)
        {
            IReadOnlyList<CheckResult> results = await RedisInspection.InspectAsync($"{address},user={user},password=right",
                cancellationToken: TestContext.Current.CancellationToken);
            return results.Single(found => found.Check == "redis default user").Level.ToString();
        }
    }

    [Fact]
    public async Task Options_ThatTheGatewayRefuses_AndStorageBeyondHalfOfRedis_AreFound()
    {
        (ChildProcess server, string address) = await RedisProcess.StartAsync(_folder.Path);
        await using ChildProcess running = server;
        using (var redis = await StackExchange.Redis.ConnectionMultiplexer.ConnectAsync($"{address},allowAdmin=true"))
            await redis.GetDatabase().ExecuteAsync("CONFIG", "SET", "maxmemory", "1gb");
        (int code, string output, _) = await RunAsync(
            "doctor", "--redis", address, "--data", _folder.Path, "--listen", "*", "--no-keys");
        Assert.Equal(1, code);
        Assert.Contains("ERROR   options: The gateway cannot start: Callers without a key", output, StringComparison.Ordinal);
        Assert.Contains("warning redis memory: maxmemory is 1.1 GB", output, StringComparison.Ordinal);
        (code, output, _) = await RunAsync(
            "doctor", "--redis", address, "--data", _folder.Path, "--set", "Gateway:TotalQueueBytes=500000000");
        Assert.True(code == 0 && !output.Contains("redis memory", StringComparison.Ordinal), output);
        (_, output, _) = await RunAsync("doctor", "--redis", "127.0.0.1:1,password=secret", "--data", _folder.Path);
        Assert.Contains("Redis does not respond at 127.0.0.1:1.", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StorageBeyondTheDisk_AndBeyondAQuarterOfTheTotal_AreFound()
    {
        long disk = new DriveInfo(_folder.Path).TotalSize;
        (int code, string output, _) = await RunAsync("doctor", "--data", _folder.Path, "--set", $"Gateway:TotalBlobBytes={disk * 2}",
            "--set", $"Gateway:Tiers:lab:StoredBlobBytes={disk}", "--set", $"Gateway:StoredBlobBytes={disk}");
        Assert.True(code == 0, output);
        Assert.Contains("warning blob limit: All keys together may store", output, StringComparison.Ordinal);
        foreach (string of in (string[])["the tier `lab`", "the gateway"])
            Assert.Contains($"warning storage limits: StoredBlobBytes of {of} is", output, StringComparison.Ordinal);
        (_, output, _) = await RunAsync("doctor", "--data", _folder.Path, "--set", $"Gateway:TotalBlobBytes={disk / 2}",
            "--set", $"Gateway:Tiers:lab:StoredBlobBytes={disk / 8}");
        Assert.DoesNotContain("blob limit", output, StringComparison.Ordinal);
        Assert.DoesNotContain("storage limits", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"Gateway\":{\"Tokns\":5}}", "There is no option `Gateway:Tokns`. Did you mean `Tokens`")]
    [InlineData("{\"Gateway\":{\"Tiers\":{\"lab\":{\"Wight\":5}}}}", "Wight")]
    [InlineData("{\"Gateway\":", "LineNumber: 0")]
    public async Task AWrongConfigurationFile_SaysWhatIsWrong(string text, string reason)
    {
        (int code, _, string errors) = await RunAsync(
            "doctor", "--data", _folder.Path, "--config", _folder.Write("service.json", text));
        Assert.Equal(1, code);
        Assert.Contains(reason, errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheHelp_DoesNotPrintThePasswordOfRedis()
    {
        await using ChildProcess help = ChildProcess.Start("ndif serve --help", BuildOutput.Dotnet, [BuildOutput.Tool, "serve", "--help"],
            ("NDIF_REDIS", "redis:6379,password=secret"));
        await help.WaitForExitAsync();
        Assert.Contains(help.Lines, line => line.Contains("--redis", StringComparison.Ordinal));
        Assert.DoesNotContain(help.Lines, line => line.Contains("secret", StringComparison.Ordinal));
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
