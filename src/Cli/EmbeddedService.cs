using Ndif.Cli.Commands;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Worker;

namespace Ndif;

/// <summary>
/// A whole service inside of a program: gateway on free ports of this machine, queue in memory, one worker, one key. For samples and
/// experiments; what outlives its program is <c>ndif up</c>.
/// </summary>
public sealed class EmbeddedService : IAsyncDisposable
{
    private readonly LocalService _service;
    private readonly Serilog.Core.Logger _log;
    private readonly string _data;

    private EmbeddedService(LocalService service, Serilog.Core.Logger log, string data, string key) => (_service, _log, _data, Key) = (service, log, data, key);

    /// <summary>For NDIF_HOST, or <see cref="NdifConfig.SetDefaultHost"/>.</summary>
    public string Host => _service.Address.Grpc.ToString();

    /// <summary>For NDIF_API_KEY, or <see cref="NdifConfig.SetDefaultApiKey"/>.</summary>
    public string Key { get; }

    /// <summary>Starts it, and returns when the model is loaded.</summary>
    public static async Task<EmbeddedService> StartAsync(string model = "ndif/tiny-landmarks", CancellationToken cancellationToken = default)
    {
        string data = Directory.CreateTempSubdirectory("ndif-embedded-").FullName;
        Serilog.Core.Logger log = LoggingSetup.Create(new LogOptions { Level = Serilog.Events.LogEventLevel.Error });
        var backend = CommonOptions.CreateQueueBackend(null, data);
        LocalService service = await LocalService.StartAsync(new GatewayOptions { GrpcPort = 0, HttpPort = 0 }, new WorkerOptions { Models = [model] },
            backend, CommonOptions.CreateKeyStore(backend, data), log, cancellationToken);
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
