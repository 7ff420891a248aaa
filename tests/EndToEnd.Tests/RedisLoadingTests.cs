using System.Net.Sockets;
using System.Text;
using Ndif.Protocol;

namespace Ndif.EndToEnd.Tests;

/// <summary>A Redis that is killed, and then loads its data for seconds and refuses all commands meanwhile.</summary>
public sealed class RedisLoadingTests(ITestOutputHelper output) : IAsyncDisposable
{
    private const int Keys = 8000, LoadDelayMicroseconds = 600;

    private readonly ServiceCluster _services = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result is TestResult.Failed) output.WriteLine(_services.Report());
        return _services.DisposeAsync();
    }

    [Fact]
    public async Task NoProcessEnds_ARunningJobGoesOn_AndAWorkerThatStartsThenWaits()
    {
        int port = FreePort.Find();
        ChildProcess redis = await _services.StartRedisAsync(port, durable: true);
        await FillAsync(port);
        GatewayProcess gateway = await _services.StartGatewayProcessAsync();
        ChildProcess worker = await _services.StartWorkerProcessAsync("w1");
        var remote = Backend.At(gateway.Grpc.ToString(), await _services.CreateKeyAsync("loading"));
        Job job = await SubmitAsync("slow:300", remote);
        await Poll.UntilAsync(() => job.GetAsync(Cancel), info => info.State == JobState.Running);

        redis.Kill();
        await redis.WaitForExitAsync();
        redis = _services.Add(
            RedisProcess.StartLoading(_services.Folder, port, durable: true, "--key-load-delay", $"{LoadDelayMicroseconds}"));
        Task<ChildProcess> late = _services.StartWorkerProcessAsync("w2"); // starts while Redis loads
        await redis.WaitForLineAsync(line => line.Contains("Ready to accept connections", StringComparison.Ordinal), "that it is ready");

        JobInfo ended = await Poll.UntilAsync(() => TryGetAsync(job), info => info?.State.IsTerminal() == true)
            ?? throw new InvalidOperationException();
        Assert.True(ended is { State: JobState.Completed, Attempt: 1 }, $"{ended}");
        await late;
        await (await SubmitAsync("prompt:1", remote)).WaitAsync(Cancel);
        Assert.True(worker.IsAlive && (await late).IsAlive && gateway.Process.IsAlive);
    }

    /// <summary>Sets some thousand keys, which take time to load.</summary>
    private static async Task FillAsync(int port)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", port, Cancel);
        NetworkStream stream = client.GetStream();
        string commands = string.Concat(Enumerable.Range(0, Keys).Select(i => $"SET other:{i} {i}\r\n"));
        Task writing = stream.WriteAsync(Encoding.ASCII.GetBytes(commands), Cancel).AsTask();
        byte[] answers = new byte[Keys * "+OK\r\n".Length];
        await stream.ReadExactlyAsync(answers, Cancel);
        await writing;
    }

    private static async Task<Job> SubmitAsync(string experiment, Backend remote)
    {
        using RecordedExperiment recorded = Experiments.Record(experiment, remote);
        return await recorded.Trace.SubmitAsync(Cancel);
    }

    /// <summary>Gets a job; null while the service cannot reach Redis.</summary>
    private static async Task<JobInfo?> TryGetAsync(Job job)
    {
        try
        {
            return await job.GetAsync(Cancel);
        }
        catch (NdifException e) when (e.Retryable)
        {
            return null;
        }
    }
}
