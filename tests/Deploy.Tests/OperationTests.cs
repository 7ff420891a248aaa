using System.Globalization;
using Grpc.Core;
using Ndif.Remote;
using StackExchange.Redis;

namespace Ndif.Deploy.Tests;

/// <summary>
/// What docs/operating tells an operator to do, done: an upgrade under load, a backup and its restoration, the size of a job.
/// </summary>
public sealed class OperationTests
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Workers and gateways are replaced one by one while clients submit: every job gives the same result.</summary>
    [Fact]
    public async Task ARollingRestart_LosesNoJob()
    {
        await using var service = new DeployedService();
        await service.InitializeAsync();
        GatewayProcess second = await service.StartGatewayProcessAsync();
        (ChildProcess first, _) = await service.StartWorkerAsync("old1");
        (ChildProcess other, _) = await service.StartWorkerAsync("old2");
        using var stop = new CancellationTokenSource();
        Task<int>[] clients = [.. Enumerable.Range(0, 4).Select(
            i => RunJobsAsync(i % 2 == 0 ? service.Gateway.Grpc : second.Grpc, service.Key, stop.Token))];

        // workers: drained or stopped, then replaced
        await service.RunToolAsync("models", "drain", "old1");
        Assert.Equal(0, await first.WaitForExitAsync());
        await service.StartWorkerAsync("new1");
        Assert.Equal(0, await other.TerminateAsync());
        await service.StartWorkerAsync("new2");
        // a gateway: its clients return to it, or to the one that takes its place
        Assert.Equal(0, await second.Process.TerminateAsync());
        await service.StartGatewayProcessAsync(second.Grpc.Port, second.Http.Port);

        await stop.CancelAsync();
        int[] completed = await Task.WhenAll(clients);
        Assert.All(completed, count => Assert.True(count > 0));
    }

    /// <summary>A gateway that stops may have accepted a job whose client has no event yet: the client returns to it.</summary>
    [Fact]
    public void AnAcceptedJob_IsFollowed_FromBeforeItsFirstEvent()
    {
        var unreachable = new NdifException(new Protocol.Error { Code = Protocol.ErrorCode.Unavailable, Retryable = true });
        var stopping = new NdifException(
            new Protocol.Error { Code = Protocol.ErrorCode.Unavailable, Retryable = true, JobContinues = true });
        var cursor = new EventStreamCursor();
        Assert.False(cursor.CanRetryAfter(unreachable));
        Assert.True(cursor.CanRetryAfter(stopping));
        Assert.True(cursor.CanRetryAfter(unreachable)); // the gateway that takes its place does not listen yet
    }

    /// <summary>A job that was submitted or attached to is followed although its gateway stops before the first event is read.</summary>
    [Fact]
    public async Task AnAcceptedJob_IsFollowed_ThroughAGatewayThatIsReplaced()
    {
        await using var service = new DeployedService();
        await service.InitializeAsync();
        await service.StartWorkerAsync("runs");
        GatewayProcess gateway = await service.StartGatewayProcessAsync();
        Job submitted = await SubmitAsync(gateway.Grpc, service.Key);
        Job attached = await Job.AttachAsync(submitted.Id, Backend.At(gateway.Grpc.ToString(), service.Key), Cancel);
        await gateway.Process.TerminateAsync();
        Task[] followed = [submitted.WaitAsync(Cancel), attached.WaitAsync(Cancel)];
        await Task.Delay(500, Cancel); // nobody listens
        await service.StartGatewayProcessAsync(gateway.Grpc.Port, gateway.Http.Port);
        await Task.WhenAll(followed);
        Assert.NotEmpty(attached.Results);
    }

    /// <summary>A gateway that is stopped resets the streams that have no answer yet. Nobody here has cancelled the call.</summary>
    [Theory, InlineData(false), InlineData(true)]
    public void ACallThatTheServerResets_IsSentAgain(bool hasAnswered)
    {
        Exception reset = new HttpProtocolException(8, "The HTTP/2 server reset the stream.", null);
        if (!hasAnswered) reset = new HttpRequestException(reset.Message, reset);
        var failure = new RpcException(new Grpc.Core.Status(StatusCode.Cancelled, "Error starting gRPC call.", reset));
        var thrown = Assert.IsAssignableFrom<NdifException>(RpcExceptionTranslator.Translate(failure, new Uri("http://localhost")));
        Assert.True(new EventStreamCursor().CanRetryAfter(thrown));
    }

    /// <summary>
    /// The commands of docs/operating/backup-and-upgrade.md. A server that is started with an append-only file reads no snapshot, so it is
    /// restored without one first.
    /// </summary>
    [Fact]
    public async Task ABackup_HasKeysDeploymentsWaitingJobsAndBlobs()
    {
        await using var service = new DeployedService();
        await service.InitializeAsync();
        (ChildProcess worker, _) = await service.StartWorkerAsync("before");
        Job ended = await SubmitLargeAsync(service.Gateway.Grpc, service.Key);
        await ended.WaitAsync(Cancel);
        await worker.TerminateAsync();
        await service.RunToolAsync("models", "deploy", "kept/model");
        Job waiting = await SubmitLargeAsync(service.Gateway.Grpc, service.Key);

        string port = service.RedisAddress.Split(',')[0].Split(':')[1], backup = Path.Combine(service.Folder, "backup.rdb");
        string blobs = Path.Combine(service.DataFolder, "blobs"), blobsBackup = Path.Combine(service.Folder, "backup");
        await RunRedisCliAsync(port, "--rdb", backup);
        CopyFolder(blobs, blobsBackup);
        await service.Gateway.Process.TerminateAsync();
        service.Processes[0].Kill();
        await service.Processes[0].WaitForExitAsync();
        Directory.Delete(blobs, recursive: true);

        string restored = Directory.CreateDirectory(Path.Combine(service.Folder, "restored")).FullName;
        File.Copy(backup, Path.Combine(restored, "dump.rdb"));
        await using (ChildProcess loading = await StartRedisAsync(port, restored, service.Folder, "no"))
        {
            await RunRedisCliAsync(port, "CONFIG", "SET", "appendonly", "yes");
            await Poll.UntilAsync(() => RunRedisCliAsync(port, "INFO", "persistence"),
                info => info.Contains("aof_rewrite_in_progress:0", StringComparison.Ordinal)
                    && info.Contains("aof_rewrite_scheduled:0", StringComparison.Ordinal)
                    && info.Contains("aof_enabled:1", StringComparison.Ordinal));
            await RunRedisCliAsync(port, "SHUTDOWN");
            await loading.WaitForExitAsync();
        }
        service.Add(await StartRedisAsync(port, restored, service.Folder, "yes"));
        CopyFolder(blobsBackup, blobs);

        GatewayProcess gateway = await service.StartGatewayProcessAsync(service.Gateway.Grpc.Port, service.Gateway.Http.Port);
        Assert.Contains("kept/model", await service.RunToolAsync("models", "list"), StringComparison.Ordinal); // with the old key
        await service.StartWorkerAsync("after");
        Backend backend = Backend.At(gateway.Grpc.ToString(), service.Key);
        foreach (string id in (string[])[ended.Id, waiting.Id])
        {
            Job same = await Job.AttachAsync(id, backend, Cancel);
            await same.WaitAsync(Cancel); // throws if the job did not complete
            Assert.Equal(_numbers, ((TensorData)same.Results["large"]!).ToArray<float>());
        }

        Directory.Delete(blobs, recursive: true); // a backup without them
        Job lost = await Job.AttachAsync(ended.Id, backend, Cancel);
        NdifException gone = await Assert.ThrowsAnyAsync<NdifException>(() => lost.WaitAsync(Cancel));
        Assert.Equal(Protocol.ErrorCode.UnknownBlob, gone.Code);
    }

    /// <summary>The numbers of docs/operating/sizing.md, for jobs like the first of the guide.</summary>
    [Fact]
    public async Task AJob_TakesAsMuchOfRedis_AsTheDocumentSays()
    {
        const int Jobs = 60; // fewer than the jobs in flight of a key
        await using var service = new DeployedService();
        await service.InitializeAsync();
        (ChildProcess worker, _) = await service.StartWorkerAsync("describes");
        await worker.TerminateAsync();
        long empty = await ReadUsedMemoryAsync(service);
        for (int i = 0; i < Jobs; i++) await SubmitAsync(service.Gateway.Grpc, service.Key);
        long waiting = (await ReadUsedMemoryAsync(service) - empty) / Jobs;
        await service.StartWorkerAsync("runs");
        Backend backend = Backend.At(service.Gateway.Grpc.ToString(), service.Key);
        await Poll.UntilAsync(() => Status.GetAsync(backend, Cancel), status => status.Waiting + status.Running == 0);
        long ended = (await ReadUsedMemoryAsync(service) - empty) / Jobs;
        TestContext.Current.TestOutputHelper!.WriteLine($"bytes of Redis per job: {waiting} waiting, {ended} ended");
        Assert.InRange(waiting, 5_000, 26_000); // half and double the 13 KB of the document
        Assert.InRange(ended, 8_500, 34_000); // 17 KB
    }

    private static async Task<int> RunJobsAsync(Uri gateway, string key, CancellationToken stop)
    {
        int completed = 0;
        string? expected = null;
        for (; !stop.IsCancellationRequested; completed++)
        {
            try
            {
                var llm = new LanguageModel(DeployedService.Model, remote: Backend.At(gateway.ToString(), key));
                using Trace trace = llm.Trace(Prompt);
                Saved token = llm.LmHead.Output[0, ^1].ArgMax(-1).Save();
                await trace.RunAsync(Cancel);
                string result = llm.Tokenizer.Decode(token);
                Assert.Equal(expected ??= result, result);
            }
            catch (NdifException e) when (e.Code is Protocol.ErrorCode.Unavailable && !e.Error.JobContinues)
            {
                completed--;
                await Task.Delay(100, Cancel); // nobody listens at the address: no job was accepted
            }
        }
        return completed;
    }

    /// <summary>A constant of 4 MB, which is uploaded, and a result as large.</summary>
    private static readonly float[] _numbers = [.. Enumerable.Range(0, 1 << 20).Select(i => (float)i)];

    private static async Task<Job> SubmitLargeAsync(Uri gateway, string key)
    {
        var llm = new LanguageModel(DeployedService.Model, remote: Backend.At(gateway.ToString(), key));
        using Trace trace = llm.Trace(Prompt);
        (llm.LmHead.Output.Sum() * 0 + TensorData.FromArray(_numbers, _numbers.Length)).Save("large");
        return await trace.SubmitAsync(cancellationToken: Cancel);
    }

    private static void CopyFolder(string from, string to)
    {
        foreach (string file in Directory.EnumerateFiles(from, "*", SearchOption.AllDirectories))
        {
            string copy = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }
    }

    private static async Task<Job> SubmitAsync(Uri gateway, string key)
    {
        var llm = new LanguageModel(DeployedService.Model, remote: Backend.At(gateway.ToString(), key));
        using Trace trace = llm.Trace(Prompt);
        llm.LmHead.Output[0, ^1].TopK(5).Save();
        return await trace.SubmitAsync(cancellationToken: Cancel);
    }

    /// <summary>Runs redis-cli as the user `operator`, as docs/operating says.</summary>
    private static async Task<string> RunRedisCliAsync(string port, params string[] arguments)
    {
        await using ChildProcess cli = ChildProcess.Start("redis-cli", "redis-cli",
            ["-p", port, "--user", "operator", "--pass", RedisUsers.OperatorPassword, "--no-auth-warning", .. arguments]);
        await cli.WaitForExitAsync();
        return string.Join('\n', cli.Lines);
    }

    private static async Task<ChildProcess> StartRedisAsync(string port, string folder, string usersFolder, string appendOnly)
    {
        ChildProcess server = ChildProcess.Start("redis restored", "redis-server",
            ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", appendOnly,
                "--aclfile", Path.Combine(usersFolder, "users.acl")]);
        await server.WaitForLineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");
        return server;
    }

    private static async Task<long> ReadUsedMemoryAsync(DeployedService service)
    {
        await using ConnectionMultiplexer redis = await ConnectionMultiplexer.ConnectAsync(
            RedisUsers.Operator(service.RedisAddress.Split(',')[0]));
        IServer server = redis.GetServers().Single();
        return long.Parse((await server.InfoAsync("memory")).SelectMany(section => section).First(e => e.Key == "used_memory").Value,
            CultureInfo.InvariantCulture);
    }
}
