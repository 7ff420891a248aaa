using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Worker;
using Serilog.Extensions.Logging;

namespace Ndif.Cli.Commands;

/// <summary>A complete service in this process: gateway, queue and worker.</summary>
internal sealed class LocalService : IAsyncDisposable
{
    private readonly QueueBackend _backend;
    private readonly WebApplication _gateway;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _worker;
    private readonly ILoggerFactory _loggerFactory;

    private LocalService(
        QueueBackend backend, WebApplication gateway, ModelWorker worker, KeyService keys, ILoggerFactory loggerFactory,
        bool isJson)
    {
        (_backend, _gateway, _loggerFactory, Keys) = (backend, gateway, loggerFactory, keys);
        _worker = Task.Run(() => worker.RunAsync(new LoadProgress(isJson), _stop.Token));
    }

    public KeyService Keys { get; }

    public GatewayAddress Address => GatewayHost.GetAddress(_gateway);

    /// <summary>Completes when the worker has ended.</summary>
    public Task Worker => _worker;

    /// <summary>Starts the service, and returns when the models are loaded. The gateway starts while the worker loads them.</summary>
    public static async Task<LocalService> StartAsync(
        GatewayOptions options, WorkerOptions workerOptions, QueueBackend backend, IKeyStore keys, Serilog.ILogger log,
        CancellationToken cancellationToken, bool isJson = false, Action? endProcess = null, Action? onDrain = null)
    {
        var logs = new SerilogLoggerFactory(log);
        WebApplication gateway = GatewayHost.Build(options, backend, keys, log);
        var worker = new ModelWorker(
            workerOptions, backend, logs.CreateLogger<ModelWorker>(), endProcess: endProcess, onDrain: onDrain);
        var service = new LocalService(backend, gateway, worker, new KeyService(keys, TimeProvider.System), logs, isJson);
        try
        {
            await gateway.StartAsync(cancellationToken);
            await worker.Ready.WaitAsync(cancellationToken);
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
        return service;
    }

    public async ValueTask DisposeAsync()
    {
        await _gateway.StopAsync();
        await _stop.CancelAsync();
        try
        {
            await _worker;
        }
        catch (Exception e) when (e is NdifException or OperationCanceledException)
        {
            // reported when it happened
        }
        await _gateway.DisposeAsync();
        await _backend.DisposeAsync();
        _loggerFactory.Dispose();
        _stop.Dispose();
    }
}
