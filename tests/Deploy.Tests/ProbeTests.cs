using System.Net;
using Ndif.Server.Monitoring;

namespace Ndif.Deploy.Tests;

/// <summary>What the probes of the manifests ask is what the processes serve.</summary>
public sealed class ProbeTests
{
    [Fact]
    public async Task WhileRedisIsDown_ProcessesAreAlive_AndGatewaysAreNotReady()
    {
        await using var service = new DeployedService();
        await service.InitializeAsync();
        (ChildProcess worker, Uri monitoring) = await service.StartWorkerAsync("probed");
        Assert.Equal(HttpStatusCode.OK, await GetAsync(service.Gateway.Http, "/livez"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(service.Gateway.Http, "/healthz"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(monitoring, "/livez"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(monitoring, "/readyz"));

        service.Processes[0].Kill(); // Redis
        await Poll.UntilAsync(() => GetAsync(service.Gateway.Http, "/healthz"), code => code == HttpStatusCode.ServiceUnavailable);
        Assert.Equal(HttpStatusCode.OK, await GetAsync(service.Gateway.Http, "/livez"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(monitoring, "/livez"));
        Assert.True(worker.IsAlive, worker.FormatOutput());
    }

    [Fact]
    public async Task AWorkerThatLoads_IsAlive_AndNotReady()
    {
        int port = FreePort.Find();
        bool isReady = false;
        await using IAsyncDisposable server = await WorkerMonitoringServer.StartAsync("localhost", port, () => isReady);
        var address = new Uri($"http://localhost:{port}");
        Assert.Equal(HttpStatusCode.OK, await GetAsync(address, "/livez"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await GetAsync(address, "/readyz"));
        isReady = true;
        Assert.Equal(HttpStatusCode.OK, await GetAsync(address, "/readyz"));
        Assert.Equal(HttpStatusCode.OK, await GetAsync(address, "/metrics"));
        Assert.Equal(HttpStatusCode.NotFound, await GetAsync(address, "/"));
    }

    private static async Task<HttpStatusCode> GetAsync(Uri address, string path)
    {
        using HttpResponseMessage answer =
            await DeployedService.Http.GetAsync(new Uri(address, path), TestContext.Current.CancellationToken);
        return answer.StatusCode;
    }
}
