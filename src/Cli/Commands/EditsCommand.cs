using System.CommandLine;
using System.Globalization;
using Google.Protobuf;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif edits`: publishes edited models as models of the service.</summary>
internal static class EditsCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        host.Recursive = key.Recursive = true;
        var command = new Command("edits", "Publish edited models as models of the service, for every client of its OpenAI API.")
        {
            host, key,
        };
        var name = new Argument<string>("name") { Description = "Name: lower-case letters, digits, dots, dashes and underscores." };

        var file = new Argument<string>("file") { Description = "File of edits, as model.ExportEdits(path) writes it." };
        var everyone = new Option<bool>("--public") { Description = "Let every key use the name. Default: only the own key." };
        var model = new Option<string?>("--model") { Description = "Name of the model on the service. Default: the one in the file." };
        var publish = new Command("publish", "Publish a file of edits under a name; replaces what the key has published under it.")
        {
            name, file, everyone, model,
        };
        publish.SetAction(async (parsed, cancellationToken) =>
        {
            EditsInfo info = await PublishedEdits.PublishAsync(
                parsed.GetValue(name)!, parsed.GetValue(file)!, parsed.GetValue(everyone), parsed.GetValue(model), GetBackend(parsed),
                cancellationToken);
            Console.WriteLine($"Published {info.Name}: {info.Model.GetName()} with {info.Nodes} nodes and {FormatBytes(info.Bytes)} bytes, "
                + (info.Public ? "for every key." : "for this key."));
            return 0;
        });

        var json = CommonOptions.Json("One edit per line");
        var list = new Command("list", "List the published edits that the key may use.") { json };
        list.SetAction(async (parsed, cancellationToken) =>
        {
            IReadOnlyList<EditsInfo> edits = await PublishedEdits.ListAsync(GetBackend(parsed), cancellationToken);
            if (parsed.GetValue(json)) foreach (EditsInfo info in edits) Console.WriteLine(JsonFormatter.Default.Format(info));
            else PrintTable(edits);
            return 0;
        });

        var show = new Command("show", "Show published edits as JSON.") { name };
        show.SetAction(async (parsed, cancellationToken) =>
        {
            EditsInfo info = await PublishedEdits.GetAsync(parsed.GetValue(name)!, GetBackend(parsed), cancellationToken);
            Console.WriteLine(new JsonFormatter(JsonFormatter.Settings.Default.WithIndentation()).Format(info));
            return 0;
        });

        var delete = new Command("delete", "Delete published edits of the key.") { name };
        delete.SetAction(async (parsed, cancellationToken) =>
        {
            EditsInfo info = await PublishedEdits.DeleteAsync(parsed.GetValue(name)!, GetBackend(parsed), cancellationToken);
            Console.WriteLine($"Deleted {info.Name}.");
            return 0;
        });
        foreach (Command subcommand in (Command[])[publish, list, show, delete]) command.Subcommands.Add(subcommand);
        return command;

        Backend GetBackend(ParseResult parsed) => BackendFactory.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));
    }

    private static void PrintTable(IEnumerable<EditsInfo> edits)
    {
        var table = new Table().AddColumns("name", "model", "owner", "for", "nodes", "bytes", "created");
        foreach (EditsInfo info in edits)
            table.AddRow(new[]
            {
                info.Name, info.Model.GetName(), info.Owner, info.Public ? "every key" : "its owner", $"{info.Nodes}",
                FormatBytes(info.Bytes), info.Created.ToDateTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture),
            }.Select(Markup.Escape).ToArray());
        AnsiConsole.Write(table);
    }

    private static string FormatBytes(ulong bytes) => bytes.ToString("N0", CultureInfo.InvariantCulture);
}
