using System.Globalization;

namespace Ndif.Deploy.Tests;

/// <summary>
/// The service as the deploy files start it: a real redis-server, a gateway with the scaler's port, and a worker with its monitoring port
/// that loads deployments on demand.
/// </summary>
public sealed class DeployedService : ServiceCluster, IAsyncLifetime
{
    /// <summary>The bundled model.</summary>
    public const string Model = "ndif/tiny-landmarks";

    public GatewayProcess Gateway { get; private set; } = null!;

    public Uri Scaler { get; private set; } = null!;

    /// <summary>An administrator's key.</summary>
    public string Key { get; private set; } = "";

    public static HttpClient Http { get; } = new();

    public async ValueTask InitializeAsync()
    {
        await StartRedisAsync(users: true);
        int port = FreePort.Find();
        Scaler = new Uri($"http://127.0.0.1:{port}");
        Gateway = await StartGatewayProcessAsync(0, 0, "--set", string.Create(CultureInfo.InvariantCulture, $"Gateway:ScalerPort={port}"));
        Key = await CreateKeyAsync("tests", "--admin");
    }

    /// <summary>Starts a worker, and waits until it takes jobs.</summary>
    public async Task<(ChildProcess Process, Uri Monitoring)> StartWorkerAsync(string id, params string[] arguments)
    {
        int port = FreePort.Find();
        ChildProcess worker = await StartWorkerProcessAsync(
            id, ["--metrics-port", $"{port}", "--metrics-host", "+", "--grace-seconds", "20", .. arguments]);
        return (worker, new Uri($"http://127.0.0.1:{port}"));
    }

    /// <summary>Runs the tool to its end as an administrator, and returns what it writes.</summary>
    public async Task<string> RunToolAsync(params string[] arguments)
    {
        await using ChildProcess tool = StartTool([.. arguments, "--host", Gateway.Grpc.ToString(), "--key", Key]);
        Assert.True(await tool.WaitForExitAsync() == 0, tool.FormatOutput());
        return string.Join('\n', tool.Lines);
    }
}
