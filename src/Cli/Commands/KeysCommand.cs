using System.CommandLine;
using Ndif.Queue;
using Ndif.Server.Keys;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif keys create|list|revoke`: API keys, in the service's own store.</summary>
internal static class KeysCommand
{
    private const double MaxLifetimeDays = 100 * 365;

    public static Command Create()
    {
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        redis.Recursive = data.Recursive = prefix.Recursive = true;
        var command = new Command("keys", "Make, list and revoke API keys.") { redis, data, prefix };

        var name = new Argument<string>("name") { Description = "Whose key it is, in words." };
        var admin = new Option<bool>("--admin") { Description = "The key may also administer the service." };
        var oper = new Option<bool>("--operator") { Description = "The key may also deploy, evict and drain, but make no keys." };
        var days = new Option<double?>("--days") { Description = "Days until it expires. Default: never." };
        var models = new Option<string[]>("--model") { Description = "A model it may use; may be given several times. Default: all." };
        var tier = new Option<string>("--tier") { Description = "Its share of service.", DefaultValueFactory = _ => "standard" };
        var create = new Command("create", "Make a key. It is shown this once; only its hash is kept.") { name, admin, oper, days, models, tier };
        create.SetAction((parsed, cancellationToken) => WithAsync(parsed, async keys =>
        {
            CreatedKey key = await keys.CreateAsync(parsed.GetValue(name)!, parsed.GetValue(admin) ? [Scopes.Run, Scopes.Admin] : parsed.GetValue(oper) ? [Scopes.Run, Scopes.Operator] : [], parsed.GetValue(tier)!,
                parsed.GetValue(models), Lifetime(parsed.GetValue(days)), cancellationToken);
            Console.WriteLine(key.Key.Reveal());
            Console.Error.WriteLine($"Key {key.Record.Id} for \"{key.Record.Name}\". This is the only time it is shown: export NDIF_API_KEY=<the line above>");
        }));

        var list = new Command("list", "List keys, without their secrets.");
        list.SetAction((parsed, cancellationToken) => WithAsync(parsed, async keys =>
        {
            var table = new Table().AddColumns("id", "name", "scopes", "tier", "models", "created", "state");
            foreach (KeyRecord key in await keys.ListAsync(cancellationToken))
            {
                string state = key.Revoked is { } at ? $"revoked {at:yyyy-MM-dd}" : key.Expires is { } end ? end < DateTimeOffset.UtcNow ? "expired" : $"until {end:yyyy-MM-dd}" : "valid";
                table.AddRow(new[] { key.Id, key.Name, string.Join(",", key.Scopes), key.Tier, key.Models.Count == 0 ? "all" : string.Join(",", key.Models), $"{key.Created:yyyy-MM-dd HH:mm}", state }.Select(Markup.Escape).ToArray());
            }
            AnsiConsole.Write(table);
        }));

        var id = new Argument<string>("id") { Description = "The key's id, the part between the underscores." };
        var revoke = new Command("revoke", "Revoke a key: it stops working at once.") { id };
        revoke.SetAction((parsed, cancellationToken) => WithAsync(parsed, async keys =>
        {
            KeyRecord key = await keys.RevokeAsync(parsed.GetValue(id)!, cancellationToken);
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
            _ => throw new ArgumentException($"--days must be above 0 and below {MaxLifetimeDays}; leave it out for a key that does not expire."),
        };

        async Task<int> WithAsync(ParseResult parsed, Func<KeyService, Task> act)
        {
            await using QueueBackend backend = CommonOptions.CreateQueueBackend(parsed.GetValue(redis), parsed.GetValue(data)!, parsed.GetValue(prefix)!);
            await act(new KeyService(CommonOptions.CreateKeyStore(backend, parsed.GetValue(data)!, parsed.GetValue(prefix)!), TimeProvider.System));
            return 0;
        }
    }
}
