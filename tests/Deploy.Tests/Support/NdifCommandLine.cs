using System.CommandLine;
using Ndif.Cli.Commands;
using Ndif.Server;

namespace Ndif.Deploy.Tests.Support;

/// <summary>The commands of the `ndif` tool, to which the arguments of containers are held.</summary>
internal static class NdifCommandLine
{
    private static readonly RootCommand _root = new()
    {
        ServeCommand.Create(), WorkerCommand.Create(), KeysCommand.Create(), ModelsCommand.Create(), StatusCommand.Create(),
        UpCommand.Create(), JobsCommand.Create(), UsageCommand.Create(),
    };

    /// <summary>Parses arguments without running anything. Unknown commands, switches and values fail.</summary>
    public static ParseResult Parse(IEnumerable<string> arguments)
    {
        string[] all = [.. arguments];
        ParseResult parsed = _root.Parse(all);
        Assert.True(parsed.Errors.Count == 0, $"ndif {string.Join(' ', all)}: {string.Join(' ', parsed.Errors.Select(e => e.Message))}");
        Assert.NotSame(_root, parsed.CommandResult.Command);
        foreach (Option option in parsed.CommandResult.Command.Options.Where(
            option => option.Name.EndsWith("-memory", StringComparison.Ordinal)))
            _ = MemorySize.Parse(option.Name, Value(all, option.Name));
        return parsed;
    }

    /// <summary>The value of a switch, as `--name value` or `--name=value`; null if it is not there.</summary>
    public static string? Value(IReadOnlyList<string> arguments, string name)
    {
        for (int i = 0; i < arguments.Count; i++)
        {
            if (arguments[i] == name && i + 1 < arguments.Count) return arguments[i + 1];
            if (arguments[i].StartsWith(name + "=", StringComparison.Ordinal)) return arguments[i][(name.Length + 1)..];
        }
        return null;
    }

    /// <summary>Reads a file of `--config` as `ndif serve` does.</summary>
    public static GatewayOptions ReadConfig(string path) => ReadOptions([], path);

    /// <summary>Reads the options of a gateway from its arguments as `ndif serve` does, with the file of `--config` elsewhere.</summary>
    /// <param name="config">The file here; null if there is none.</param>
    public static GatewayOptions ReadOptions(IReadOnlyList<string> arguments, string? config)
    {
        var service = new ServiceConfiguration();
        var command = new Command("serve");
        service.AddTo(command);
        IEnumerable<string> settings = arguments.Zip(arguments.Skip(1)).Where(pair => pair.First == "--set").Select(pair => pair.Second);
        ParseResult parsed = command.Parse(
            [.. settings.SelectMany(setting => (string[])["--set", setting]), .. config is null ? [] : (string[])["--config", config]]);
        _ = service.BindQueue(parsed, "ndif:", 30);
        _ = service.BindBlobs(parsed, "/data");
        GatewayOptions gateway = service.BindGateway(parsed, []);
        gateway.Validate();
        return gateway;
    }

    /// <summary>Checks the name of an environment variable: one of the service's own, or `NDIF_Section__Option`.</summary>
    public static void CheckVariable(string name)
    {
        if (!name.StartsWith("NDIF_", StringComparison.Ordinal)) return;
        if (name is "NDIF_REDIS" or "NDIF_DATA" or "NDIF_HOST" or "NDIF_API_KEY") return;
        string[] parts = name["NDIF_".Length..].Split("__");
        Assert.Equal("Gateway", parts[0]);
        Assert.NotNull(typeof(GatewayOptions).GetProperty(parts[1]));
    }
}
