using System.CommandLine;
using Ndif.Models.Files;
using Ndif.Models.Files.Hub;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Spectre.Console;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models`: what the service serves and is to serve, or what this machine has.</summary>
internal static class ModelsCommand
{
    public static Command Create()
    {
        var host = CommonOptions.Host();
        var key = CommonOptions.Key();
        var here = new Option<bool>("--local") { Description = "The models on this machine instead: bundled, and in Hugging Face's cache." };
        var tree = new Option<string?>("--tree") { Description = "Print the module tree of this model (an id or folder on this machine)." };
        var command = new Command("models", "List the service's models, this machine's, or a model's tree; for operators, say what the service is to hold.") { host, key, here, tree, CreatePullCommand() };
        host.Recursive = key.Recursive = true;
        foreach (Command part in DeploymentCommands.Create(parsed => CommonOptions.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key)))) command.Subcommands.Add(part);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (parsed.GetValue(tree) is { } id) Console.WriteLine(ModulePrinter.Print(ModelLoader.Describe(id).Root));
            else if (parsed.GetValue(here)) foreach (string model in ModelStore.Available()) Console.WriteLine(model);
            else PrintTable((await Status.GetAsync(CommonOptions.GetRemoteBackend(parsed.GetValue(host), parsed.GetValue(key)), cancellationToken)).Models);
            return 0;
        });
        return command;
    }

    /// <summary>`ndif models pull`: what a first run would download, ahead of it.</summary>
    private static Command CreatePullCommand()
    {
        var id = new Argument<string>("id") { Description = "Id on the hub: openai-community/gpt2." };
        var revision = new Option<string?>("--revision") { Description = "A branch, tag or commit. Default: main." };
        var described = new Option<bool>("--no-weights") { Description = "Only config and tokenizer: enough for shapes and remote runs." };
        var adapter = new Option<bool>("--adapter") { Description = "It is a LoRA adapter in PEFT's format." };
        var command = new Command("pull", "Download a model from the Hugging Face hub (HF_ENDPOINT, HF_TOKEN) into its cache (HF_HOME), or what is new of it.") { id, revision, described, adapter };
        command.SetAction((parsed, cancellationToken) =>
        {
            ModelParts parts = parsed.GetValue(adapter) ? ModelParts.Adapter : parsed.GetValue(described) ? ModelParts.Description : ModelParts.Weights;
            ModelFolder folder = ModelStore.Download(parsed.GetValue(id)!, parsed.GetValue(revision), parts, null, new LoadProgress(), cancellationToken);
            Console.WriteLine(folder.Path);
            return Task.FromResult(0);
        });
        return command;
    }

    public static void PrintTable(IEnumerable<ModelStatus> models)
    {
        var table = new Table().AddColumns("model", "architecture", "parameters", "heat", "replicas", "waiting", "running", "");
        foreach (ModelStatus model in models)
            table.AddRow(new[]
            {
                ModelNames.Format(model.Id, model.Revision.Length < 40 ? model.Revision : ""), // a commit is in the JSON
                model.Architecture, $"{model.Parameters / 1e6:0.#} M", model.Loading > 0 ? "loading" : model.Heat is Heat.Unspecified ? "none" : model.Heat.ToString().ToLowerInvariant(),
                model.Wanted > 0 ? $"{model.Replicas} of {model.Wanted}" : $"{model.Replicas}", $"{model.Waiting}", $"{model.Running}",
                string.Join(", ", new[] { model.Pinned ? "pinned" : "", model.Error?.Message ?? "" }.Where(word => word.Length > 0)),
            }.Select(Markup.Escape).ToArray());
        AnsiConsole.Write(table);
    }
}
