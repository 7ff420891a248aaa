using Ndif;
using System.CommandLine;
using System.Net.Sockets;
using Ndif.Cli.Commands;
using Spectre.Console;
using StackExchange.Redis;

if (Console.IsOutputRedirected) AnsiConsole.Profile.Width = 1000; // tables in files and pipes are not wrapped

var root = new RootCommand("NDIF: a service for experiments on the internals of language models.")
{
    DemoCommand.Create(),
    UpCommand.Create(),
    ServeCommand.Create(),
    WorkerCommand.Create(),
    KeysCommand.Create(),
    ModelsCommand.Create(),
    StatusCommand.Create(),
    JobsCommand.Create(),
    UsageCommand.Create(),
    ParityCommand.Create(),
};

ParseResult parsed = root.Parse(args);
var invocation = new InvocationConfiguration
{
    EnableDefaultExceptionHandler = false,
    // a worker exits by itself when its shutdown grace period (at most 10 minutes) is over
    ProcessTerminationTimeout = parsed.CommandResult.Command.Name is "worker" or "up" ? TimeSpan.FromMinutes(11) : TimeSpan.FromSeconds(20),
};
try
{
    return await parsed.InvokeAsync(invocation);
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is RedisException or RedisTimeoutException)
{
    Console.Error.WriteLine("ndif: Redis does not respond at the given address. Check --redis (or NDIF_REDIS), and that Redis is running.");
    return 1;
}
catch (SocketException e)
{
    Console.Error.WriteLine(
        $"ndif: {e.Message}. Check --listen, --port and --http-port: the address must belong to this machine, and the ports must be free.");
    return 1;
}
catch (Exception e)
    when (e is NdifException or { InnerException: NdifException } or Ndif.Server.OptionsException or ArgumentException or IOException)
{
    Console.Error.WriteLine($"ndif: {e.Message}");
    return 1;
}
