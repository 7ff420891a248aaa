using System.CommandLine;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Worker;
using Serilog.Events;

namespace Ndif.Cli.Commands;

/// <summary>`ndif demo`: starts a service on the bundled model, and runs a first remote trace on it.</summary>
internal static class DemoCommand
{
    private const string Prompt = "The Eiffel Tower is in the city of";

    public static Command Create()
    {
        var verbose = new Option<bool>("--verbose", "-v") { Description = "Show the log of the service." };
        var command = new Command(
            "demo", "Start a service in this process on the bundled model, and run a first remote trace on it.") { verbose };
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(verbose), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(bool verbose, CancellationToken cancellationToken)
    {
        string data = Directory.CreateTempSubdirectory("ndif-demo-").FullName;
        try
        {
            using var log = LoggingSetup.Create(new LogOptions { Level = verbose ? LogEventLevel.Information : LogEventLevel.Error });
            Console.WriteLine("Starting the service in this process: gateway, queue and one worker ...");
            var llm = new LanguageModel("ndif/tiny-landmarks");
            Task<(Saved Hidden, Saved Logits)> local = Task.Run(() => TraceAsync(llm, Backend.Local, cancellationToken), cancellationToken);
            var backend = BackendFactory.CreateQueueBackend(null, data);
            await using LocalService service = await LocalService.StartAsync(
                new GatewayOptions { GrpcPort = 0, HttpPort = 0 }, new WorkerOptions { Models = ["ndif/tiny-landmarks"] },
                backend, BackendFactory.CreateKeyStore(backend, data), log, cancellationToken);
            CreatedKey key = await service.Keys.CreateAsync("demo", [], cancellationToken: cancellationToken);
            Console.WriteLine(
                $"Listening on {service.Address.Grpc} (gRPC) and {service.Address.Http} (status page); created the key {key.Key}.");
            Console.WriteLine();

            Backend remote = Backend.At(service.Address.Grpc.ToString(), key.Key.Reveal());
            Console.WriteLine($"A trace of `{llm.Id}` on \"{Prompt}\", remote: true");
            var (hidden, logits) = await TraceAsync(llm, remote, cancellationToken);
            Console.WriteLine($"  hidden states of the last layer: [{string.Join(", ", hidden.Tensor.Shape.ToArray())}]");
            Console.WriteLine($"  predicted next token:            \"{llm.Tokenizer.Decode(logits.Tensor[0, ^1].ArgMax())}\"");

            var (localHidden, localLogits) = await local; // it ran while the service started
            bool isEqual = PrintChecksums("hidden states", hidden, localHidden) & PrintChecksums("logits", logits, localLogits);
            Console.WriteLine();
            if (!isEqual)
            {
                Console.Error.WriteLine("The remote run and the local run differ. This is a bug.");
                return 1;
            }
            Console.WriteLine("""
                Next:
                  ndif up                      keep the service running (dotnet run -c Release --project src/Cli -- up)
                  docs/samples/                programs that use it: patching, the logit lens, generation, caching
                  ndif --help                  all commands
                """);
            return 0;
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }
    }

    private static Task<(Saved Hidden, Saved Logits)> TraceAsync(LanguageModel llm, Backend backend, CancellationToken cancellationToken) =>
        llm.TraceAsync(
            Prompt, _ => (llm["transformer.h"][^1].Output[0].Save(), llm["lm_head"].Output.Save()), backend,
            cancellationToken: cancellationToken);

    private static bool PrintChecksums(string what, Saved remote, Saved local)
    {
        string remoteHash = remote.Tensor.Checksum(), localHash = local.Tensor.Checksum();
        bool isEqual = remoteHash == localHash;
        Console.WriteLine($"  SHA-256 of the {what,-17} {remoteHash[..16]}... remote {(isEqual ? "=" : "!=")} {localHash[..16]}... local");
        return isEqual;
    }
}
