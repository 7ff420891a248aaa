using Ndif.Cli.Commands;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Worker;

namespace Ndif;

/// <summary>
/// A complete service inside the current process: a gateway on free loopback ports, an in-memory queue, one worker and one API key. Use it
/// in samples and tests; for a service that outlives the program use <c>ndif up</c>.
/// </summary>
public sealed class EmbeddedService : IAsyncDisposable
{
    private readonly LocalService _service;
    private readonly Serilog.Core.Logger _log;
    private readonly string _data;

    private EmbeddedService(LocalService service, Serilog.Core.Logger log, string data, string key) =>
        (_service, _log, _data, Key) = (service, log, data, key);

    /// <summary>The address of the service, for NDIF_HOST or <see cref="NdifConfig.SetDefaultHost"/>.</summary>
    public string Host => _service.Address.Grpc.ToString();

    /// <summary>The API key, for NDIF_API_KEY or <see cref="NdifConfig.SetDefaultApiKey"/>.</summary>
    public string Key { get; }

    /// <summary>Starts the service, and returns when the model is loaded.</summary>
    public static async Task<EmbeddedService> StartAsync(
        string model = "ndif/tiny-landmarks", CancellationToken cancellationToken = default)
    {
        string data = Directory.CreateTempSubdirectory("ndif-embedded-").FullName;
        Serilog.Core.Logger log = LoggingSetup.Create(new LogOptions { Level = Serilog.Events.LogEventLevel.Error });
        var backend = BackendFactory.CreateQueueBackend(null, data);
        LocalService service = await LocalService.StartAsync(
            new GatewayOptions { GrpcPort = 0, HttpPort = 0 }, new WorkerOptions { Models = [model] },
            backend, BackendFactory.CreateKeyStore(backend, data), log, cancellationToken);
        CreatedKey key = await service.Keys.CreateAsync("embedded", [], cancellationToken: cancellationToken);
        return new EmbeddedService(service, log, data, key.Key.Reveal());
    }

    public async ValueTask DisposeAsync()
    {
        await _service.DisposeAsync();
        await _log.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }
}
