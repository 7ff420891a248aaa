using System.CommandLine;
using Microsoft.Extensions.Configuration;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server;

namespace Ndif.Cli.Commands;

/// <summary>
/// Binds the options of a service: the properties of <see cref="GatewayOptions"/>, <see cref="QueueOptions"/> and
/// <see cref="BlobOptions"/> as the configuration sections Gateway, Queue and Blobs. The sources, highest precedence first:
/// 1. the switches of the command;
/// 2. `--set KEY=VALUE`;
/// 3. environment variables (NDIF_Gateway__Tokens);
/// 4. the JSON file of `--config`.
/// An unknown name is an error.
/// </summary>
internal sealed class ServiceConfiguration
{
    private const string EnvironmentPrefix = "NDIF_";
    private static readonly string[] _sections = ["Gateway", "Queue", "Blobs"];

    private readonly Option<string?> _file = new("--config")
    {
        Description = "JSON file with the sections Gateway, Queue and Blobs, which can set every option. "
            + "Environment variables such as NDIF_Gateway__Tokens override it.",
    };

    private readonly Option<string[]> _set = new("--set")
    {
        Description = "KEY=VALUE, such as Gateway:Tiers:standard:JobsInFlight=10. It overrides the file and the environment. "
            + "May be given several times.",
    };

    private readonly Option<string?> _blobs = new("--blobs")
    {
        Description = "Where large tensors are stored: a folder, or s3://bucket/prefix?endpoint=http://host:9000&region=... "
            + "Default: `blobs` in --data.",
    };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _file, _set, _blobs }) command.Options.Add(option);
    }

    /// <summary>Adds only the switches for the configuration file and for single options.</summary>
    public void AddSettingsTo(Command command)
    {
        command.Options.Add(_file);
        command.Options.Add(_set);
    }

    /// <exception cref="ArgumentException">A name or a value is not valid.</exception>
    public GatewayOptions BindGateway(ParseResult parsed, IEnumerable<KeyValuePair<string, string?>> switches)
    {
        var options = new GatewayOptions();
        Bind(parsed, "Gateway", options, switches);
        return options;
    }

    /// <param name="prefix">The value of --prefix. Prefix and lease duration can be set only by their switches.</param>
    /// <param name="leaseSeconds">The value of --lease-seconds.</param>
    public QueueOptions BindQueue(ParseResult parsed, string prefix, double leaseSeconds)
    {
        var options = new QueueOptions();
        Bind(parsed, "Queue", options, []);
        if (options.Prefix != new QueueOptions().Prefix || options.LeaseDuration != new QueueOptions().LeaseDuration)
            throw new ArgumentException(
                "Set Queue:Prefix and Queue:LeaseDuration with --prefix and --lease-seconds, in every process of the service.");
        return options with { Prefix = prefix, LeaseDuration = TimeSpan.FromSeconds(leaseSeconds) };
    }

    public BlobOptions BindBlobs(ParseResult parsed, string data)
    {
        var options = new BlobOptions { Root = Path.Combine(data, "blobs") };
        Bind(parsed, "Blobs", options, parsed.GetValue(_blobs) is { Length: > 0 } root ? [new("Root", root)] : []);
        return options;
    }

    private void Bind(ParseResult parsed, string section, object options, IEnumerable<KeyValuePair<string, string?>> switches)
    {
        try
        {
            IConfigurationRoot all = Build(parsed, section, switches);
            if (all.GetChildren().FirstOrDefault(child => !_sections.Contains(child.Key, StringComparer.OrdinalIgnoreCase)) is { } unknown)
                throw new ArgumentException(
                    $"There is no options section `{unknown.Key}`. The sections are {string.Join(", ", _sections)}.");
            string[] names = [.. options.GetType().GetProperties().Select(property => property.Name)];
            if (all.GetSection(section).GetChildren().Select(child => child.Key)
                .FirstOrDefault(name => !names.Contains(name, StringComparer.OrdinalIgnoreCase)) is { } wrong)
                throw new ArgumentException($"There is no option `{section}:{wrong}`. {Errors.DidYouMean(wrong, names)}".TrimEnd());
            all.GetSection(section).Bind(options, binder => binder.ErrorOnUnknownConfiguration = true);
        }
        catch (Exception e) when (e is InvalidOperationException or InvalidDataException or FormatException)
        {
            throw new ArgumentException(
                $"The options of `{section}` are not valid: {e.Message}"
                + (e.InnerException is null ? "" : " " + e.GetBaseException().Message), e);
        }
    }

    private IConfigurationRoot Build(ParseResult parsed, string section, IEnumerable<KeyValuePair<string, string?>> switches)
    {
        var builder = new ConfigurationBuilder();
        if (parsed.GetValue(_file) is { Length: > 0 } file)
            builder.AddJsonFile(Path.GetFullPath(file), optional: false, reloadOnChange: false);
        // Only variables of the known sections: NDIF_HOST and others are not options of the service.
        IConfigurationRoot environment = new ConfigurationBuilder().AddEnvironmentVariables(EnvironmentPrefix).Build();
        builder.AddInMemoryCollection(environment.AsEnumerable().Where(entry => entry.Value is not null
            && _sections.Any(known => entry.Key.StartsWith(known + ":", StringComparison.OrdinalIgnoreCase))));
        builder.AddInMemoryCollection((parsed.GetValue(_set) ?? []).Select(ParseSetting));
        builder.AddInMemoryCollection(switches.Select(entry => new KeyValuePair<string, string?>($"{section}:{entry.Key}", entry.Value)));
        return builder.Build();
    }

    private static KeyValuePair<string, string?> ParseSetting(string text) => text.IndexOf('=', StringComparison.Ordinal) is > 0 and var at
        ? new(text[..at].Trim(), text[(at + 1)..].Trim())
        : throw new ArgumentException($"`--set {text}` is not KEY=VALUE.");
}
