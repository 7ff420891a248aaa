using System.CommandLine;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models`: lists the models of the service or of this machine, and manages deployments.</summary>
internal static class ModelsCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var local = new Option<bool>(
            "--local") { Description = "List the models on this machine instead: bundled, and in the Hugging Face cache." };
        var tree = new Option<string?>("--tree") { Description = "Print the module tree of this model (an id or folder on this machine)." };
        var command = new Command("models", "List models or print a module tree; for operators, manage the deployments of the service.")
        {
            host, key, local, tree, CreatePullCommand(),
        };
        host.Recursive = key.Recursive = true;
        foreach (Command subcommand in DeploymentCommands.Create(GetBackend)) command.Subcommands.Add(subcommand);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(tree) is { } id) Console.WriteLine(ModulePrinter.Print(ModelLoader.Describe(id).Root));
            else if (parsed.GetValue(local)) foreach (string model in ModelStore.Available()) Console.WriteLine(model);
            else PrintTable((await Status.GetAsync(GetBackend(parsed), cancellationToken)).Models);
            return 0;
        });
        return command;

        Backend GetBackend(ParseResult parsed) => BackendFactory.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key));
    }

    /// <summary>`ndif models pull`: downloads a model, as its first use would.</summary>
    private static Command CreatePullCommand()
    {
        var id = new Argument<string>("id") { Description = "Id on the hub: openai-community/gpt2." };
        var revision = new Option<string?>("--revision") { Description = "A branch, tag or commit. Default: main." };
        var noWeights = new Option<bool>(
            "--no-weights") { Description = "Download only config and tokenizer, which are enough for shapes and remote runs." };
        var adapter = new Option<bool>("--adapter") { Description = "The id is a LoRA adapter in PEFT format." };
        var command = new Command(
            "pull", "Download or update a model from the Hugging Face hub (HF_ENDPOINT, HF_TOKEN) to its cache (HF_HOME).")
        {
            id, revision, noWeights, adapter,
        };
        command.SetAction((parsed, cancellationToken) =>
        {
            ModelParts parts = parsed.GetValue(adapter) ? ModelParts.Adapter
                : parsed.GetValue(noWeights) ? ModelParts.Description
                : ModelParts.Weights;
            ModelFolder folder = ModelStore.Download(
                parsed.GetValue(id)!, parsed.GetValue(revision), parts, null, new LoadProgress(), cancellationToken);
            Console.WriteLine(folder.Path);
            return Task.FromResult(0);
        });
        return command;
    }

    public static void PrintTable(IEnumerable<ModelStatus> models)
    {
        var table = new Table().AddColumns("model", "architecture", "task", "parameters", "heat", "replicas", "waiting", "running", "");
        foreach (ModelStatus model in models)
        {
            string name = model.Revision.Length is > 0 and < 40 ? $"{model.Id}@{model.Revision}" : model.Id; // no commit hashes
            string heat = model.Loading > 0 ? "loading" : model.Heat is Heat.Unspecified
                ? "none"
                : model.Heat.ToString().ToLowerInvariant();
            string replicas = model.Wanted > 0 ? $"{model.Replicas} of {model.Wanted}" : $"{model.Replicas}";
            string notes = string.Join(
                ", ", new[] { model.Pinned ? "pinned" : "", model.Error?.Message ?? "" }.Where(note => note.Length > 0));
            table.AddRow(new[]
            {
                name, model.Architecture, model.Architecture.Length == 0 ? "" : model.Task.ToName(), $"{model.Parameters / 1e6:0.#} M",
                heat, replicas, $"{model.Waiting}", $"{model.Running}", notes,
            }.Select(Markup.Escape).ToArray());
        }
        AnsiConsole.Write(table);
    }
}
