using System.CommandLine;
using Ndif.Models;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models`: what the service serves, or what this machine has.</summary>
internal static class ModelsCommand
{
    public static Command Create()
    {
        var host = Shared.Host();
        var key = Shared.Key();
        var here = new Option<bool>("--local") { Description = "The models on this machine instead: bundled, and in Hugging Face's cache." };
        var tree = new Option<string?>("--tree") { Description = "Print the module tree of this model (an id or folder on this machine)." };
        var command = new Command("models", "List the service's models, this machine's, or a model's tree.") { host, key, here, tree };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(tree) is { } id) Console.WriteLine(ModulePrinter.Print(ModelLoader.Describe(id).Root));
            else if (parsed.GetValue(here)) foreach (string model in ModelStore.Available()) Console.WriteLine(model);
            else Write((await Status.GetAsync(Shared.Service(parsed.GetValue(host), parsed.GetValue(key)), cancellationToken)).Models);
            return 0;
        });
        return command;
    }

    public static void Write(IEnumerable<ModelStatus> models)
    {
        var table = new Table().AddColumns("model", "architecture", "parameters", "heat", "replicas", "waiting", "running");
        foreach (ModelStatus model in models)
            table.AddRow(new[] { model.Id, model.Architecture, $"{model.Parameters / 1e6:0.#} M", model.Heat.ToString().ToLowerInvariant(), $"{model.Replicas}", $"{model.Waiting}", $"{model.Running}" }.Select(Markup.Escape).ToArray());
        AnsiConsole.Write(table);
    }
}
