using System.CommandLine;
using Ndif;
using Ndif.Cli.Commands;

var root = new RootCommand("NDIF: a service that opens up the inside of language models, and what belongs to it.")
{
    DemoCommand.Create(),
    UpCommand.Create(),
    ServeCommand.Create(),
    WorkerCommand.Create(),
    KeysCommand.Create(),
    ModelsCommand.Create(),
    StatusCommand.Create(),
    ParityVerb.Create(),
};

var invocation = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(20) };
try
{
    return await root.Parse(args).InvokeAsync(invocation);
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is NdifException or { InnerException: NdifException } or Ndif.Server.OptionsException or ArgumentException or IOException)
{
    Console.Error.WriteLine($"ndif: {e.Message}");
    return 1;
}
