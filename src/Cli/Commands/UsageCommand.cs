using System.CommandLine;
using System.Globalization;
using Google.Protobuf;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif usage`: shows the usage of the own key; for administrators of any key.</summary>
internal static class UsageCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var json = CommonOptions.Json("The usage");
        var since = new Option<string?>("--since") { Description = "First day (UTC), such as 2026-11-23. Default: 29 days ago." };
        var until = new Option<string?>("--until") { Description = "Last day. Default: today." };
        var owner = new Option<string?>(
            "--owner") { Description = "Id of another key: the part between its underscores. Requires a key with the scope `admin`." };
        var all = new Option<bool>("--all") { Description = "All keys. Requires a key with the scope `admin`." };
        var command = new Command("usage", "Show jobs, tokens, passes, compute time and result bytes, by day, key and model.")
        {
            host, key, since, until, owner, all, json,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            Backend service = BackendFactory.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));
            (DateOnly? from, DateOnly? to) = (ParseDate(parsed.GetValue(since)), ParseDate(parsed.GetValue(until)));
            IReadOnlyList<UsageRow> rows = parsed.GetValue(all) ? await ServiceUsage.OfAsync("", from, to, service, cancellationToken)
                : parsed.GetValue(owner) is { Length: > 0 } id ? await ServiceUsage.OfAsync(id, from, to, service, cancellationToken)
                : await ServiceUsage.GetAsync(from, to, service, cancellationToken);
            if (parsed.GetValue(json))
            {
                PrintJson(rows);
                return 0;
            }
            PrintTable(rows);
            StorageUse storage = parsed.GetValue(all) ? await ServiceUsage.GetStorageOfAsync("", service, cancellationToken)
                : parsed.GetValue(owner) is { Length: > 0 } one ? await ServiceUsage.GetStorageOfAsync(one, service, cancellationToken)
                : await ServiceUsage.GetStorageAsync(service, cancellationToken);
            Console.WriteLine(FormatStorage(storage));
            return 0;
        });
        return command;
    }

    /// <summary>One line: what is stored, and what may be.</summary>
    public static string FormatStorage(StorageUse storage) => string.Create(CultureInfo.InvariantCulture,
        $"Stored: {storage.QueueBytes / 1e6:N1} of {storage.QueueBytesLimit / 1e6:N0} MB in the queue, "
        + $"{storage.BlobBytes / 1e6:N1} of {storage.BlobBytesLimit / 1e6:N0} MB of results and uploads");

    private static DateOnly? ParseDate(string? text) => text is null ? null
        : DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out DateOnly day) ? day
        : throw new ArgumentException($"`{text}` is not a date; use the format 2026-11-23.");

    private static void PrintTable(IReadOnlyList<UsageRow> rows)
    {
        var table = new Table().AddColumns(
            "day", "key", "model", "jobs", "completed", "failed", "cancelled", "tokens", "passes", "seconds", "result bytes");
        foreach (UsageRow row in rows)
            table.AddRow(new[]
            {
                row.Day, row.Key, row.Model, $"{row.Jobs}", $"{row.Completed}", $"{row.Failed}", $"{row.Cancelled}",
                $"{row.Tokens:N0}", $"{row.Passes:N0}", row.ComputeSeconds.ToString(
                    "0.000", CultureInfo.InvariantCulture), $"{row.ResultBytes:N0}",
            }.Select(Markup.Escape).ToArray());
        AnsiConsole.Write(table);
    }

    /// <summary>Writes one JSON object per line.</summary>
    private static void PrintJson(IReadOnlyList<UsageRow> rows)
    {
        var formatter = new JsonFormatter(JsonFormatter.Settings.Default.WithFormatDefaultValues(true));
        foreach (UsageRow row in rows) Console.WriteLine(formatter.Format(row));
    }
}
