using Ndif;
using System.CommandLine;
using System.Net.Sockets;
using Ndif.Cli;
using Ndif.Cli.Commands;
using Ndif.Cli.Supervision;
using Ndif.Queue.Redis;
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
    DoctorCommand.Create(),
    UsageCommand.Create(),
    EditsCommand.Create(),
    WorkbenchCommand.Create(),
    ParityCommand.Create(),
    CollectCommand.Create(),
};

ParseResult parsed = root.Parse(args);
bool isJson = parsed.CommandResult.Command.Name is "serve" or "worker" or "up" && args.Contains("--log-json");
var invocation = new InvocationConfiguration
{
    EnableDefaultExceptionHandler = false,
    // a worker exits by itself when its shutdown grace period (at most 10 minutes) is over
    ProcessTerminationTimeout = parsed.CommandResult.Command.Name is "worker" or "up" ? TimeSpan.FromMinutes(11) : TimeSpan.FromSeconds(20),
};
try
{
    int exitCode = await parsed.InvokeAsync(invocation);
    // the command was told to stop, goes on, and its time is over (128 + SIGINT, 128 + SIGTERM)
    if (exitCode is 130 or 143 && !OperatingSystem.IsWindows()) SupervisedProcess.EndAtOnce(exitCode);
    return exitCode;
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is RedisException or RedisTimeoutException)
{
    return Fail(RedisFailures.Describe(e));
}
catch (SocketException e)
{
    return Fail($"{e.Message}. Check --listen, --port and --http-port: "
        + "the address must belong to this machine, and the ports must be free.");
}
catch (Exception e)
    when (e is NdifException or { InnerException: NdifException } or Ndif.Server.OptionsException or ArgumentException or IOException
        or UnauthorizedAccessException)
{
    return Fail(e.Message);
}
catch (Exception e) when (isJson)
{
    return Fail(e.ToString());
}

int Fail(string message)
{
    if (isJson) JsonLog.WriteFatal(message);
    else Console.Error.WriteLine($"ndif: {message}");
    return 1;
}
