using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging.Abstractions;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server;
using Ndif.Server.Keys;
using Ndif.Worker;

namespace Ndif.Tests.Support.Service;

/// <summary>The whole service in this process, as `ndif up` runs it: gateway on a free port, in-memory queue, one worker.</summary>
public sealed class LoopbackService : IAsyncDisposable
{
    private readonly string _data = Directory.CreateTempSubdirectory("ndif-loopback-").FullName;
    private readonly CancellationTokenSource _stop = new();
    private readonly QueueBackend _backend;
    private readonly WebApplication _gateway;
    private readonly ModelWorker _worker;
    private readonly KeyService _keys;
    private Task _workerTask = Task.CompletedTask;

    private LoopbackService(string[] models, Tier? tier, bool reusesLayers)
    {
        _backend = QueueBackend.InMemory(blobs: new BlobOptions { Root = Path.Combine(_data, "blobs") });
        var store = new FileKeyStore(Path.Combine(_data, "keys.json"));
        IReadOnlyDictionary<string, Tier> tiers = tier is null ? new GatewayOptions().Tiers : new Dictionary<string, Tier>
        {
            ["standard"] = tier,
        };
        _gateway = GatewayHost.Build(new GatewayOptions { GrpcPort = 0, HttpPort = 0, Tiers = tiers }, _backend, store);
        var options = new WorkerOptions { Models = models };
        if (!reusesLayers) options = options with { ReuseMemory = 0 };
        _worker = new ModelWorker(options, _backend, NullLogger<ModelWorker>.Instance);
        _keys = new KeyService(store, TimeProvider.System);
    }

    public Uri Address => GatewayHost.GetAddress(_gateway).Grpc;

    /// <summary>The address of the dashboard, over HTTP/1.1.</summary>
    public Uri DashboardAddress => GatewayHost.GetAddress(_gateway).Http;

    /// <summary>A key for <see cref="Address"/>.</summary>
    public string Key { get; private set; } = "";

    /// <summary>Starts gateway and worker, and returns when the model is loaded.</summary>
    /// <param name="tier">The limits of every key; null for the gateway's default tiers.</param>
    /// <param name="moreModels">Further models that the worker serves.</param>
    /// <param name="reusesLayers">Whether the outputs of layers are kept for later jobs; false where tensors are counted.</param>
    public static async Task<LoopbackService> StartAsync(
        string model, CancellationToken cancellationToken, Tier? tier = null, bool reusesLayers = true, string[]? moreModels = null)
    {
        var service = new LoopbackService([model, .. moreModels ?? []], tier, reusesLayers);
        await service._gateway.StartAsync(cancellationToken);
        service._workerTask = service._worker.RunAsync(stopping: service._stop.Token);
        await service._worker.Ready.WaitAsync(cancellationToken);
        service.Key = (await service._keys.CreateAsync("loopback", [], cancellationToken: cancellationToken)).Key.Reveal();
        return service;
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.StopAsync();
        await _stop.CancelAsync();
        await _workerTask;
        await _gateway.DisposeAsync();
        await _backend.DisposeAsync();
        _stop.Dispose();
        Directory.Delete(_data, recursive: true);
    }
}
