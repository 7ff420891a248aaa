using System.CommandLine;
using Ndif.Cli.Parity;
using Ndif.Tokenizers;

namespace Ndif.Cli.Commands;

/// <summary>`ndif parity FOLDER`: compares models with the reference outputs of Hugging Face transformers.</summary>
internal static class ParityCommand
{
    public static Command Create()
    {
        var folder = new Argument<string>("folder")
        {
            Description = "One checkpoint with its reference outputs, or a folder of such folders.",
        };
        var json = CommonOptions.Json("A list of results");
        var command = new Command("parity", "Compare models with Hugging Face's reference outputs.") { folder, json };
        command.SetAction((parsed, cancellationToken) => Task.FromResult(ParityRunner.Run(
            parsed.GetValue(folder)!, parsed.GetValue(json), Console.Out, Console.Error, Tokenize, cancellationToken)));
        return command;
    }

    private static IReadOnlyList<int> Tokenize(string folder, string text) => HuggingFaceTokenizer.FromFolder(folder).Encode(text);
}
