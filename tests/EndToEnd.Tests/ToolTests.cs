namespace Ndif.EndToEnd.Tests;

public sealed class ToolTests(TestCluster cluster, ITestOutputHelper output) : ClusterTestBase(cluster, output)
{
    [Fact]
    public async Task Demo_PredictsParis_FromAnEmptyMachine()
    {
        await using ChildProcess demo = Cluster.StartTool("demo");
        Assert.True(await demo.WaitForExitAsync() == 0, demo.FormatOutput());
        Assert.Contains(demo.Lines, line => line.Contains("\" Paris\"", StringComparison.Ordinal));
    }

    /// <summary>The kernels run with the vectors of AVX2 where the processor has no longer ones.</summary>
    [Fact]
    public async Task Demo_PredictsParis_WithoutAvx512()
    {
        await using ChildProcess demo =
            Cluster.StartProgram("demo", BuildOutput.Tool, ["demo"], ("DOTNET_EnableAVX512", "0"), ("NDIF_CPU_KERNEL_CACHE", ""));
        Assert.True(await demo.WaitForExitAsync() == 0, demo.FormatOutput());
        Assert.Contains(demo.Lines, line => line.Contains("\" Paris\"", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Up_AnswersAClient_AndStopsCleanlyWhenTold()
    {
        string data = Path.Combine(Cluster.DataFolder, "up");
        await using ChildProcess up = Cluster.StartTool("up", "--port", "0", "--http-port", "0", "--data", data);
        string host = (await up.WaitForLineAsync(line => line.Contains("export NDIF_HOST=", StringComparison.Ordinal), "its address"))
            .Split('=')[1];
        string key = (await up.WaitForLineAsync(line => line.Contains("export NDIF_API_KEY=", StringComparison.Ordinal), "a key"))
            .Split('=')[1].Split(' ')[0];
        using RecordedExperiment recorded = Experiments.Record("states", Backend.At(host, key));
        Dictionary<string, string> there = (await recorded.RunAsync(Cancel))
            .ToDictionary(result => result.Key, result => result.Value.Checksum());
        Assert.Equal(await RunLocallyAsync("states"), there);
        Assert.True(await up.TerminateAsync() == 0, up.FormatOutput());
        Assert.DoesNotContain("   at ", up.FormatOutput(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Keys_AreThoseOfTheService_ThatUpHasStarted()
    {
        string data = Path.Combine(Cluster.DataFolder, "up-keys");
        string[] words = ["up", "--port", "0", "--http-port", "0", "--data", data];
        await using ChildProcess up = Cluster.StartTool(words);
        string host = (await up.WaitForLineAsync(line => line.Contains("export NDIF_HOST=", StringComparison.Ordinal), "its address"))
            .Split('=')[1];
        string admin = (await up.WaitForLineAsync(line => line.Contains("export NDIF_API_KEY=", StringComparison.Ordinal), "a key"))
            .Split('=')[1].Split(' ')[0];

        (string name, string value)[] exported = [("NDIF_HOST", host), ("NDIF_API_KEY", admin)];
        string created = await KeysAsync(exported, "create", "ada"), listed = await KeysAsync(exported, "list");
        Assert.Contains($"in {host}", created, StringComparison.Ordinal);
        Assert.Contains("ada", listed, StringComparison.Ordinal);
        string key = created.Split('\n').Single(line => line.StartsWith("ndif_", StringComparison.Ordinal));
        using RecordedExperiment recorded = Experiments.Record("states", Backend.At(host, key));
        Assert.NotEmpty(await recorded.RunAsync(Cancel));
        Assert.Contains("ada", await KeysAsync([], "list", "--data", data), StringComparison.Ordinal);
        Assert.Contains("give one of them", await KeysAsync([], "list", "--data", data, "--host", host), StringComparison.Ordinal);
        Assert.Contains("PERMISSION_DENIED", (await Assert.ThrowsAnyAsync<NdifException>(() =>
            ApiKeys.ListAsync(Backend.At(host, key), Cancel))).Error.ToString().ToUpperInvariant(), StringComparison.Ordinal);
        Assert.True(await up.TerminateAsync() == 0, up.FormatOutput());

        await using ChildProcess again = Cluster.StartTool(words);
        await again.WaitForLineAsync(line => line.Contains($"`ndif keys create NAME --data {data}`", StringComparison.Ordinal), "how");
        Assert.True(await again.TerminateAsync() == 0, again.FormatOutput());

        async Task<string> KeysAsync((string Name, string Value)[] environment, params string[] arguments)
        {
            await using ChildProcess keys = Cluster.StartProgram("ndif keys", BuildOutput.Tool, ["keys", .. arguments], environment);
            await keys.WaitForExitAsync();
            return string.Join('\n', keys.Lines) + "\n" + keys.Errors;
        }
    }

    [Fact]
    public async Task Up_LoadsInTheTypeItIsTold()
    {
        await using ChildProcess up =
            Cluster.StartTool("up", "--port", "0", "--http-port", "0", "--data", Path.Combine(Cluster.DataFolder, "up-narrow"), "--dtype",
                "bfloat16", "--int8");
        string host = (await up.WaitForLineAsync(line => line.Contains("export NDIF_HOST=", StringComparison.Ordinal), "its address"))
            .Split('=')[1];
        string key = (await up.WaitForLineAsync(line => line.Contains("export NDIF_API_KEY=", StringComparison.Ordinal), "a key"))
            .Split('=')[1].Split(' ')[0];
        using RecordedExperiment recorded = Experiments.Record("states", Backend.At(host, key));
        Assert.All((await recorded.RunAsync(Cancel)).Values, value => Assert.Equal(DType.BFloat16, value.Type));
        Assert.True(await up.TerminateAsync() == 0, up.FormatOutput());
    }

    [Fact]
    public async Task EveryCommand_HasHelp()
    {
        ChildProcess[] helps =
            [.. ("|demo|up|serve|worker|keys|models|models pull|models deploy|models evict|models pin|models unpin"
            + "|models scale|models drain|models list|models sync|status|jobs|jobs show|jobs watch|jobs cancel|jobs delete|jobs dead"
            + "|jobs requeue|usage|parity|collect|doctor|workbench|edits|edits publish|edits list|edits show|edits delete").Split('|')
            .Select(command => Cluster.StartTool([.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]))];
        foreach (ChildProcess help in helps)
        {
            await using ChildProcess one = help;
            Assert.True(await one.WaitForExitAsync() == 0, one.FormatOutput());
            Assert.Contains("Usage:", one.Lines);
            Assert.Equal("", one.Errors);
        }
    }

    [Theory]
    [InlineData("--port is not for this", "status --port 1")]
    [InlineData("not a port", "up --port 99999 --http-port 0")]
    [InlineData("not a number", "serve --redis 127.0.0.1:1 --port many")]
    [InlineData("no Redis", "serve")]
    [InlineData("no Redis", "worker")]
    [InlineData("not a lease", "worker --redis {redis} --prefix bad: --lease-seconds 0")]
    [InlineData("not a lease", "worker --redis 127.0.0.1:1 --lease-seconds NaN")]
    [InlineData("not a batch", "worker --redis {redis} --prefix bad: --max-batch 0")]
    [InlineData("not an id", "worker --redis {redis} --prefix bad: --id a/b")]
    [InlineData("not a device", "worker --redis {redis} --prefix bad: --device toaster")]
    [InlineData("not a model", "worker --redis {redis} --prefix bad: --model ndif/tiny-landmark")]
    [InlineData("not a dtype", "worker --redis {redis} --prefix bad: --dtype int4")]
    [InlineData("not an id", "models pull ../../etc")]
    [InlineData("not a Redis address", "worker --redis nonsense,with=options")]
    [InlineData("not this machine's address", "up --listen 203.0.113.7 --port 0 --http-port 0")]
    [InlineData("not an address", "up --listen somewhere --port 0 --http-port 0")]
    [InlineData("not safe", "up --listen * --no-keys --port 0 --http-port 0")]
    [InlineData("not a certificate", "up --certificate {certificate} --port 0 --http-port 0")]
    [InlineData("not a duration", "keys create me --days 1e300 --redis {redis}")]
    [InlineData("not a duration", "keys create me --days -1 --redis {redis}")]
    [InlineData("not a key", "keys revoke nobody00 --redis {redis}")]
    [InlineData("nobody there", "status --host 127.0.0.1:1")]
    [InlineData("nobody there", "jobs --host 127.0.0.1:1")]
    [InlineData("not a limit", "jobs --limit 0 --host 127.0.0.1:1")]
    [InlineData("no id", "jobs cancel --host 127.0.0.1:1")]
    [InlineData("not a host", "status --host http://")]
    [InlineData("not an amount", "worker --redis 127.0.0.1:1 --memory plenty")]
    [InlineData("not an amount", "worker --redis 127.0.0.1:1 --memory -1GB")]
    [InlineData("not a duration", "worker --redis 127.0.0.1:1 --grace-seconds -1")]
    [InlineData("not a number", "models scale x many")]
    [InlineData("not replicas", "models scale x 0 --host 127.0.0.1:1")]
    [InlineData("not a file", "models sync no-such-file.yaml --host 127.0.0.1:1")]
    [InlineData("not YAML", "models sync {certificate} --host 127.0.0.1:1")]
    [InlineData("not a model", "models --tree ndif/tiny-landmark")]
    [InlineData("a port in use", "up --port {port} --http-port 0")]
    [InlineData("no Redis there", "keys list --redis 127.0.0.1:1")]
    [InlineData("not a tier", "keys create me --tier lba --redis {redis}")]
    [InlineData("not a wall time", "worker --redis {redis} --prefix bad: --wall-seconds 0")]
    [InlineData("read-only data", "up --data /proc/ndif --port 0 --http-port 0")]
    [InlineData("not a command", "dmeo")]
    public async Task ABadOption_IsASentenceAndAnExitCode_NeverAStackTrace(string what, string line)
    {
        string certificate = Path.Combine(Cluster.DataFolder, "not-a-certificate.pem");
        await File.WriteAllTextAsync(certificate, "certainly not", Cancel);
        await using ChildProcess tool =
            Cluster.StartTool([.. line.Split(' ').Select(word => word.Replace("{redis}", Cluster.RedisAddress, StringComparison.Ordinal)
            .Replace("{certificate}", certificate, StringComparison.Ordinal)
            .Replace("{port}", $"{Cluster.Grpc.Port}", StringComparison.Ordinal))]);
        int code = await tool.WaitForExitAsync();
        Assert.True(code is > 0 and < 128, $"{what}: {tool.FormatOutput()}");
        Assert.True(tool.Errors.Length > 0, $"{what}: {tool.FormatOutput()}");
        Assert.DoesNotContain("   at ", tool.FormatOutput(), StringComparison.Ordinal);
        Assert.DoesNotContain("Unhandled", tool.FormatOutput(), StringComparison.Ordinal);
    }
}
