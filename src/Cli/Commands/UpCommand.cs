using System.CommandLine;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Worker;

namespace Ndif.Cli.Commands;

/// <summary>`ndif up`: the whole service in one process, with nothing to install.</summary>
internal static class UpCommand
{
    public static Command Create()
    {
        var model = CommonOptions.Model();
        var device = CommonOptions.Device();
        var dtype = CommonOptions.Dtype();
        var eightBit = CommonOptions.EightBit();
        var gateway = new GatewayArguments();
        var config = new ServiceConfiguration();
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        var logJson = CommonOptions.LogJson();
        var memory = CommonOptions.Memory();
        var warm = CommonOptions.WarmMemory();
        var jobMemory = CommonOptions.JobMemory();
        var grace = CommonOptions.Grace();
        var command = new Command("up", "Run the whole service in this process: gateway, queue (in memory, or Redis) and a worker.") { model, device, dtype, eightBit, memory, warm, jobMemory, redis, data, prefix, grace, logJson };
        gateway.AddTo(command);
        config.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var log = LoggingSetup.Create(new LogOptions { Json = parsed.GetValue(logJson) });
            using var observed = Observability.Start("ndif");
            string folder = parsed.GetValue(data)!;
            QueueBackend backend = CommonOptions.CreateQueueBackend(parsed.GetValue(redis), config.BindQueue(parsed, parsed.GetValue(prefix)!, CommonOptions.DefaultLeaseSeconds), config.BindBlobs(parsed, folder));
            IKeyStore keys = CommonOptions.CreateKeyStore(backend, folder, parsed.GetValue(prefix)!);
            GatewayOptions options = config.BindGateway(parsed, gateway.GetExplicitValues(parsed));
            await using LocalService service = await LocalService.StartAsync(options,
                new WorkerOptions
                {
                    Models = parsed.GetValue(model)!, Device = parsed.GetValue(device)!, Dtype = parsed.GetValue(dtype)!, EightBit = parsed.GetValue(eightBit),
                    Memory = MemorySize.Parse("--memory", parsed.GetValue(memory)), WarmMemory = MemorySize.Parse("--warm-memory", parsed.GetValue(warm)) ?? 0, JobMemory = MemorySize.Parse("--job-memory", parsed.GetValue(jobMemory)),
                    ShutdownGracePeriod = CommonOptions.ParseSeconds(parsed, grace),
                }, backend, keys, log, cancellationToken);
            await PrintStartedAsync(service, options.AllowAnonymous, cancellationToken);
            await Task.WhenAny(service.Worker, Task.Delay(Timeout.Infinite, cancellationToken));
            if (service.Worker.IsFaulted) await service.Worker;
            return 0;
        });
        return command;
    }

    private static async Task PrintStartedAsync(LocalService service, bool anonymous, CancellationToken cancellationToken)
    {
        Console.WriteLine();
        Console.WriteLine($"NDIF is up. Dashboard: {service.Address.Http}");
        Console.WriteLine($"  export NDIF_HOST={service.Address.Grpc.ToString().TrimEnd('/')}");
        if (!anonymous)
        {
            if ((await service.Keys.ListAsync(cancellationToken)).Any(k => k.Revoked is null))
            {
                Console.WriteLine("  export NDIF_API_KEY=...      (a key exists; make another with `ndif keys create NAME`)");
            }
            else
            {
                CreatedKey key = await service.Keys.CreateAsync("first", [Scopes.Run, Scopes.Admin], cancellationToken: cancellationToken);
                Console.WriteLine($"  export NDIF_API_KEY={key.Key.Reveal()}      (shown this once)");
            }
        }
        Console.WriteLine("Ctrl-C stops it.");
        Console.WriteLine();
    }
}

/// <summary>The options of a gateway on the command line.</summary>
internal sealed class GatewayArguments
{
    private readonly Option<string> _listen = new("--listen") { Description = "Address to listen on; * is every one, and then keys are required.", DefaultValueFactory = _ => "127.0.0.1" };
    private readonly Option<int> _port = new("--port") { Description = "Port of gRPC.", DefaultValueFactory = _ => 5080 };
    private readonly Option<int> _httpPort = new("--http-port") { Description = "Port of the status page, metrics and gRPC-Web.", DefaultValueFactory = _ => 5081 };
    private readonly Option<bool> _noKeys = new("--no-keys") { Description = "Let callers without a key in; only on a loopback address." };
    private readonly Option<string?> _certificate = new("--certificate") { Description = "PEM or PKCS#12 file of a TLS certificate; one port then does both." };
    private readonly Option<string?> _certificateKey = new("--certificate-key") { Description = "PEM file of the certificate's private key." };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _listen, _port, _httpPort, _noKeys, _certificate, _certificateKey }) command.Options.Add(option);
    }

    /// <summary>What was given, as entries of <see cref="GatewayOptions"/>; what was not is the configuration's to say.</summary>
    public IEnumerable<KeyValuePair<string, string?>> GetExplicitValues(ParseResult parsed)
    {
        if (Has(_listen)) yield return new(nameof(GatewayOptions.Host), parsed.GetValue(_listen));
        if (Has(_port)) yield return new(nameof(GatewayOptions.GrpcPort), $"{parsed.GetValue(_port)}");
        if (Has(_httpPort)) yield return new(nameof(GatewayOptions.HttpPort), $"{parsed.GetValue(_httpPort)}");
        if (Has(_noKeys)) yield return new(nameof(GatewayOptions.AllowAnonymous), $"{parsed.GetValue(_noKeys)}");
        if (Has(_certificate)) yield return new(nameof(GatewayOptions.CertificateFile), parsed.GetValue(_certificate));
        if (Has(_certificateKey)) yield return new(nameof(GatewayOptions.CertificateKeyFile), parsed.GetValue(_certificateKey));

        bool Has(Option option) => parsed.GetResult(option) is { Implicit: false };
    }
}
