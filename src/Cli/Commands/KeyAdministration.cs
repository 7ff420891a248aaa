using System.CommandLine;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Server.Keys;

namespace Ndif.Cli.Commands;

/// <summary>
/// Where `ndif keys` manages keys, in this order: the store or the service that the switches name; the store of NDIF_REDIS or NDIF_DATA;
/// the service of NDIF_HOST, NDIF_API_KEY and the config file; the service at the default address, if one answers there; the store in the
/// default data folder. Of the last two, a note says which one it is.
/// </summary>
/// <param name="notes">Receives the note; null for standard error.</param>
internal sealed class KeyAdministration(string defaultHost = NdifConfig.DefaultHost, TextWriter? notes = null)
{
    private static readonly TimeSpan _probeTimeout = TimeSpan.FromSeconds(2);

    public Option<string?> Host { get; } = CommonOptions.Host();

    public Option<string?> Key { get; } = CommonOptions.Key();

    public Option<string?> Redis { get; } = CommonOptions.Redis();

    public Option<string> Data { get; } = CommonOptions.Data();

    public Option<string> Prefix { get; } = CommonOptions.Prefix();

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { Host, Key, Redis, Data, Prefix })
        {
            option.Recursive = true;
            command.Options.Add(option);
        }
    }

    /// <exception cref="ArgumentException">The switches name both a service and a store.</exception>
    public async Task<int> RunAsync(ParseResult parsed, Func<IKeyAccess, Task> action)
    {
        (string folder, string prefix) = (parsed.GetValue(Data)!, parsed.GetValue(Prefix)!);
        bool? isService = UsesService(parsed);
        string host = isService is null ? defaultHost : parsed.GetValue(Host) ?? NdifConfig.Host.ToString();
        if (isService is null)
        {
            isService = await AnswersAsync(host);
            await (notes ?? Console.Error).WriteLineAsync(isService.Value
                ? $"The keys are those of the service that answers at {host}. For those of a folder, which need no key, use --data."
                : $"No service answers at {host}: the keys are those of the folder {Path.GetFullPath(folder)}.");
        }
        if (isService.Value)
        {
            await action(new ServiceKeys(BackendFactory.GetRemoteBackend(host, parsed.GetValue(Key)), host));
            return 0;
        }
        await using QueueBackend backend = BackendFactory.CreateQueueBackend(CommonOptions.GetRedis(parsed, Redis), folder, prefix);
        string place = backend.Connection is null ? Path.GetFullPath(folder) : "Redis";
        await action(new StoredKeys(
            new KeyService(BackendFactory.CreateKeyStore(backend, folder, prefix), TimeProvider.System), place,
                isFile: backend.Connection is null));
        return 0;
    }

    /// <summary>Whether a service answers, even if it refuses the key.</summary>
    private static async Task<bool> AnswersAsync(string host)
    {
        using var timeout = new CancellationTokenSource(_probeTimeout);
        try
        {
            await Status.GetAsync(BackendFactory.GetRemoteBackend(host, NdifConfig.ApiKey), timeout.Token);
            return true;
        }
        catch (NdifException e)
        {
            return e.Code is ErrorCode.Unauthenticated or ErrorCode.PermissionDenied or ErrorCode.QuotaExceeded;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Whether keys are those of a service or of a store; null if nothing says it.</summary>
    private bool? UsesService(ParseResult parsed)
    {
        bool namesService = IsGiven(Host) || IsGiven(Key), namesStore = IsGiven(Redis) || IsGiven(Data) || IsGiven(Prefix);
        if (namesService && namesStore)
            throw new ArgumentException(
                "--host and --key name a service, --redis, --data and --prefix the store of one; give one of them.");
        if (namesService || namesStore) return namesService;
        if (HasVariable("NDIF_REDIS") || HasVariable("NDIF_DATA")) return false;
        return NdifConfig.IsHostConfigured ? true : null;

        bool IsGiven(Option option) => parsed.GetResult(option) is { Implicit: false };

        static bool HasVariable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 };
    }
}

/// <summary>Creates, lists and revokes the keys of one service.</summary>
internal interface IKeyAccess
{
    /// <summary>Where the keys are, for a message.</summary>
    string Place { get; }

    /// <returns>The complete key, and what is stored of it.</returns>
    Task<(string Secret, KeyInfo Key)> CreateAsync(
        string name, string[] scopes, string tier, string[] models, TimeSpan? lifetime, CancellationToken cancellationToken);

    Task<IReadOnlyList<KeyInfo>> ListAsync(CancellationToken cancellationToken);

    Task<KeyInfo> RevokeAsync(string id, CancellationToken cancellationToken);
}

/// <summary>The keys in the store of a service. It needs access to the store, and no key.</summary>
internal sealed class StoredKeys(KeyService keys, string place, bool isFile = false) : IKeyAccess
{
    public bool IsFile => isFile;

    public string Place => place;

    public async Task<(string Secret, KeyInfo Key)> CreateAsync(
        string name, string[] scopes, string tier, string[] models, TimeSpan? lifetime, CancellationToken cancellationToken)
    {
        CreatedKey created = await keys.CreateAsync(name, scopes, tier, models, lifetime, cancellationToken);
        return (created.Key.Reveal(), created.Record.ToInfo());
    }

    public async Task<IReadOnlyList<KeyInfo>> ListAsync(CancellationToken cancellationToken) =>
        [.. (await keys.ListAsync(cancellationToken)).Select(key => key.ToInfo())];

    public async Task<KeyInfo> RevokeAsync(string id, CancellationToken cancellationToken) =>
        (await keys.RevokeAsync(id, cancellationToken)).ToInfo();
}

/// <summary>The keys of a running service. It needs a key with the scope `admin`.</summary>
internal sealed class ServiceKeys(Backend service, string host) : IKeyAccess
{
    public string Place => host;

    public async Task<(string Secret, KeyInfo Key)> CreateAsync(
        string name, string[] scopes, string tier, string[] models, TimeSpan? lifetime, CancellationToken cancellationToken)
    {
        CreateKeyReply reply = await ApiKeys.CreateAsync(name, scopes, tier, models, lifetime, service, cancellationToken);
        return (reply.Secret, reply.Key);
    }

    public Task<IReadOnlyList<KeyInfo>> ListAsync(CancellationToken cancellationToken) => ApiKeys.ListAsync(service, cancellationToken);

    public Task<KeyInfo> RevokeAsync(string id, CancellationToken cancellationToken) =>
        ApiKeys.RevokeAsync(id, service, cancellationToken);
}
