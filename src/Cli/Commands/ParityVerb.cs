using System.CommandLine;
using Ndif.Cli.Parity;
using Ndif.Tokenizers;

namespace Ndif.Cli.Commands;

/// <summary>`ndif parity FOLDER`: compares models with reference outputs of Hugging Face transformers.</summary>
internal static class ParityVerb
{
    public static Command Create()
    {
        var folder = new Argument<string>(
            "folder") { Description = "Folder of a checkpoint with its reference outputs, or a folder of such folders." };
        var json = CommonOptions.Json("A list of results");
        var command = new Command("parity", "Compare models with reference outputs of Hugging Face transformers.") { folder, json };
        command.SetAction((parsed, cancellationToken) => Task.FromResult(ParityCommand.Run(parsed.GetValue(folder)!, parsed.GetValue(json),
            Console.Out, Console.Error, (path, text) => [.. HuggingFaceTokenizer.FromFolder(path).Encode(text)], cancellationToken)));
        return command;
    }
}
