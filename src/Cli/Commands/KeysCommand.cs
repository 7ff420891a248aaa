using System.CommandLine;
using Ndif.Protocol;
using Ndif.Server.Keys;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif keys create|list|revoke`: manages API keys, of a running service or directly in its key store.</summary>
internal static class KeysCommand
{
    private const double MaxLifetimeDays = 100 * 365;

    public static Command Create()
    {
        var administration = new KeyAdministration();
        var command = new Command("keys", "Create, list and revoke API keys: of the service at --host, with an admin's key, or in the "
            + "store of --redis or --data.");
        administration.AddTo(command);

        var name = new Argument<string>("name") { Description = "The user or purpose of the key." };
        var admin = new Option<bool>("--admin") { Description = "The key may also administer the service." };
        var operate = new Option<bool>("--operator") { Description = "The key may also deploy, evict and drain, but not manage keys." };
        var days = new Option<double?>("--days") { Description = "Days until it expires. Default: never." };
        var models = new Option<string[]>(
            "--model") { Description = "Id of a model that the key may use; may be given several times. Default: all models." };
        var tier = new Option<string>("--tier") { Description = "Tier of the key, which sets its share of service and its limits.",
            DefaultValueFactory = _ => "standard" };
        var config = new ServiceConfiguration();
        var create = new Command(
            "create", "Create a key. It is shown only once; the service stores its hash.") { name, admin, operate, days, models, tier };
        config.AddSettingsTo(create);
        create.SetAction((parsed, cancellationToken) => administration.RunAsync(parsed, async keys =>
        {
            string[] scopes = parsed.GetValue(admin) ? [Scopes.Run, Scopes.Admin]
                : parsed.GetValue(operate) ? [Scopes.Run, Scopes.Operator]
                : [];
            if (keys is StoredKeys)
            {
                var known = config.BindGateway(parsed, []).Tiers.Keys;
                if (!known.Contains(parsed.GetValue(tier)!))
                    throw new ArgumentException(
                        $"There is no tier `{parsed.GetValue(tier)}`. {Errors.DidYouMean(parsed.GetValue(tier)!, known)}".TrimEnd()
                        + $" The tiers are {string.Join(", ", known)}; others are defined by the option Gateway:Tiers (--config, --set) "
                        + "of the gateways.");
            }
            (string secret, KeyInfo key) = await keys.CreateAsync(
                parsed.GetValue(name)!, scopes, parsed.GetValue(tier)!, parsed.GetValue(models) ?? [], Lifetime(parsed.GetValue(days)),
                cancellationToken);
            Console.WriteLine(secret);
            Console.Error.WriteLine(
                $"Key {key.Id} for \"{key.Name}\" in {keys.Place}. It is shown only once: export NDIF_API_KEY=<the line above>");
            if (keys is StoredKeys { IsFile: true })
                Console.Error.WriteLine(
                    "Services that run without Redis and with this --data read this file: `ndif up`. "
                    + "A service with --redis keeps its keys in "
                    + "Redis: create its keys with the same --redis and --prefix.");
        }));

        var list = new Command("list", "List keys, without their secrets.");
        list.SetAction((parsed, cancellationToken) => administration.RunAsync(parsed, async keys =>
        {
            var table = new Table().AddColumns("id", "name", "scopes", "tier", "models", "created", "state");
            foreach (KeyInfo key in await keys.ListAsync(cancellationToken))
            {
                string allowedModels = key.Models.Count == 0 ? "all" : string.Join(",", key.Models);
                string created = $"{key.Created.ToDateTime():yyyy-MM-dd HH:mm}";
                table.AddRow(new[] { key.Id, key.Name, string.Join(",", key.Scopes), key.Tier, allowedModels, created, GetState(key) }
                    .Select(Markup.Escape).ToArray());
            }
            AnsiConsole.Write(table);
        }));

        var id = new Argument<string>("id") { Description = "Id of the key: the part between the underscores." };
        var revoke = new Command("revoke", "Revoke a key. It stops working at once.") { id };
        revoke.SetAction((parsed, cancellationToken) => administration.RunAsync(parsed, async keys =>
        {
            KeyInfo key = await keys.RevokeAsync(parsed.GetValue(id)!, cancellationToken);
            Console.WriteLine($"Revoked key {key.Id} of \"{key.Name}\".");
        }));

        command.Subcommands.Add(create);
        command.Subcommands.Add(list);
        command.Subcommands.Add(revoke);
        return command;

        static TimeSpan? Lifetime(double? days) => days switch
        {
            null => null,
            > 0 and < MaxLifetimeDays => TimeSpan.FromDays(days.Value),
            _ => throw new ArgumentException(
                $"--days must be more than 0 and less than {MaxLifetimeDays}. Omit it for a key that does not expire."),
        };

        static string GetState(KeyInfo key)
        {
            if (key.Revoked is { } revoked) return $"revoked {revoked.ToDateTime():yyyy-MM-dd}";
            if (key.Expires?.ToDateTime() is not { } expires) return "valid";
            return expires < DateTime.UtcNow ? "expired" : $"until {expires:yyyy-MM-dd}";
        }
    }
}
