using Ndif;
using System.CommandLine;
using System.Net.Sockets;
using Ndif.Cli.Commands;
using Spectre.Console;
using StackExchange.Redis;

if (Console.IsOutputRedirected) AnsiConsole.Profile.Width = 1000; // a table in a file or pipe is for grep: no word of it is broken

var root = new RootCommand("NDIF: a service that opens up the inside of language models, and what belongs to it.")
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
    // a worker ends by itself when its grace is over
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
    Console.Error.WriteLine("ndif: Redis does not answer at the address given. Check --redis (or NDIF_REDIS), and that it runs there.");
    return 1;
}
catch (SocketException e)
{
    Console.Error.WriteLine($"ndif: {e.Message}. Check --listen, --port and --http-port: the address must be this machine's, and the ports free and permitted.");
    return 1;
}
catch (Exception e) when (e is NdifException or { InnerException: NdifException } or Ndif.Server.OptionsException or ArgumentException or IOException)
{
    Console.Error.WriteLine($"ndif: {e.Message}");
    return 1;
}
