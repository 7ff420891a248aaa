using Ndif.Deploy.Tests.Support;
using Ndif.Server;

namespace Ndif.Deploy.Tests;

/// <summary>docker-compose.yml fits the tool, the Dockerfile and Redis. No container engine runs it here.</summary>
public sealed class ComposeTests
{
    private static readonly Dictionary<object, object> _services =
        (Dictionary<object, object>)Yaml.ReadMerged(File.ReadAllText(RepositoryFolder.PathOf("docker-compose.yml")))["services"];

    public static TheoryData<string> Services => [.. _services.Keys.Cast<string>()];

    [Theory, MemberData(nameof(Services))]
    public void EveryService_IsRestarted_Checked_AndLimited(string name)
    {
        Dictionary<object, object> service = Service(name);
        Assert.Equal("unless-stopped", service["restart"]);
        Assert.NotEmpty((List<object>)Map(service["healthcheck"])["test"]);
        Assert.NotNull(Map(Map(Map(service["deploy"])["resources"])["limits"])["memory"]);
        Assert.DoesNotMatch("(:latest|^[^:]+)$", (string)service["image"]);
    }

    [Theory]
    [InlineData("gateway")]
    [InlineData("worker")]
    public void Commands_AreKnownToTheTool(string name)
    {
        Dictionary<object, object> service = Service(name);
        NdifCommandLine.Parse(((List<object>)service["command"]).Cast<string>());
        foreach (object variable in Map(service["environment"]).Keys) NdifCommandLine.CheckVariable((string)variable);
        Assert.Equal(["deploy/secrets/ndif.env"], (List<object>)service["env_file"]);
        Assert.Equal(true.ToString(), (string)service["read_only"], ignoreCase: true);
        Assert.Equal(["ALL"], (List<object>)service["cap_drop"]);
    }

    [Fact]
    public void TheImage_IsBuiltOnce()
    {
        Assert.Single(_services, service => Map(service.Value).ContainsKey("build"));
        Assert.Equal(Service("gateway")["image"], Service("worker")["image"]);
    }

    [Fact]
    public void AWorker_GetsTheTimeToDrain()
    {
        Dictionary<object, object> worker = Service("worker");
        string[] command = [.. ((List<object>)worker["command"]).Cast<string>()];
        double grace = double.Parse(NdifCommandLine.Value(command, "--grace-seconds")!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal($"{grace + 30}s", worker["stop_grace_period"]);
        string check = string.Join(' ', (List<object>)Map(worker["healthcheck"])["test"]);
        Assert.Contains($":{NdifCommandLine.Value(command, "--metrics-port")}/readyz", check, StringComparison.Ordinal);
    }

    /// <summary>The script draws passwords with which the service connects to the Redis that the file configures.</summary>
    [Fact]
    public async Task TheSecrets_AreThoseOfRedis()
    {
        using var folder = new TempFolder();
        await using (ChildProcess script =
            ChildProcess.Start("create-secrets", "bash", [RepositoryFolder.PathOf("deploy/create-secrets.sh"), folder.Path]))
            Assert.True(await script.WaitForExitAsync() == 0, script.FormatOutput());
        string connection = File.ReadAllText(folder.File("ndif.env")).Trim();
        Assert.StartsWith("NDIF_REDIS=redis:6379,user=ndif,password=", connection, StringComparison.Ordinal);
        Assert.DoesNotContain("CHANGE-ME", File.ReadAllText(folder.File("users.acl")), StringComparison.Ordinal);

        (ChildProcess redis, string address) = await RedisProcess.StartAsync(folder.Path, users: folder.File("users.acl"));
        await using ChildProcess server = redis;
        await using var service = new ServiceCluster(folder.File("service"))
        {
            RedisAddress = connection["NDIF_REDIS=".Length..].Replace("redis:6379", address, StringComparison.Ordinal),
        };
        Assert.StartsWith("ndif_", await service.CreateKeyAsync("me"), StringComparison.Ordinal);

        string[] check = [.. ((List<object>)Map(Service("redis")["healthcheck"])["test"]).Cast<string>()];
        await using ChildProcess healthy = ChildProcess.Start("health check", "sh",
            ["-c", check[1].Replace("redis-cli", $"redis-cli -p {address.Split(':')[1]}", StringComparison.Ordinal)]);
        Assert.True(await healthy.WaitForExitAsync() == 0, healthy.FormatOutput());
    }

    [Fact]
    public void Redis_EvictsNothing_AndKeepsItsData()
    {
        string command = string.Join(' ', (List<object>)Service("redis")["command"]);
        Assert.Contains("--maxmemory-policy noeviction", command, StringComparison.Ordinal);
        Assert.Contains("--appendonly yes", command, StringComparison.Ordinal);
        Assert.Contains("--aclfile", command, StringComparison.Ordinal);
    }

    /// <summary>The gateway refuses what is stored before Redis or the disk of the machine is full, which cannot be known here.</summary>
    [Fact]
    public void WhatIsStored_IsBounded()
    {
        string[] redis = [.. ((List<object>)Service("redis")["command"]).Cast<string>()],
            gateway = [.. ((List<object>)Service("gateway")["command"]).Cast<string>()];
        Assert.Equal("1gb", NdifCommandLine.Value(redis, "--maxmemory"));
        GatewayOptions options = NdifCommandLine.ReadOptions(gateway, config: null);
        Assert.InRange(options.TotalQueueBytes, 1, (1L << 30) / 2);
        Assert.InRange(options.TotalBlobBytes, 1, new GatewayOptions().TotalBlobBytes / 4);
    }

    /// <summary>The user of the image can write where the image says that it writes, and the ports are those of the tool.</summary>
    [Fact]
    public void TheImage_RunsWithoutRoot()
    {
        string image = File.ReadAllText(RepositoryFolder.PathOf("deploy/Dockerfile"));
        Assert.Contains("USER 10001:10001", image, StringComparison.Ordinal);
        Assert.Contains("install -d -o 10001 -g 10001 /data /models", image, StringComparison.Ordinal);
        Assert.Contains("EXPOSE 5080 5081 5082", image, StringComparison.Ordinal);
        string[] ignored = File.ReadAllLines(RepositoryFolder.PathOf(".dockerignore"));
        Assert.All((string[])[".git", "**/bin", "**/obj", "tests", "deploy", "**/.env"], path => Assert.Contains(path, ignored));
    }

    private static Dictionary<object, object> Service(string name) => Map(_services[name]);

    private static Dictionary<object, object> Map(object value) => Assert.IsType<Dictionary<object, object>>(value);
}
