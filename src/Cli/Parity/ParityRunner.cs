using System.Globalization;
using System.Text.Json;

namespace Ndif.Cli.Parity;

/// <summary>Compares checkpoints with the reference outputs of Hugging Face transformers and prints the results (`ndif parity`).</summary>
internal static class ParityRunner
{
    /// <summary>Compares one or more checkpoints.</summary>
    /// <param name="folder">
    /// The folder of a checkpoint with its reference outputs, or a folder of such folders, also one level deeper.
    /// </param>
    /// <param name="json">True to write a JSON array, and nothing else, to <paramref name="stdout"/>; false to write a table.</param>
    /// <param name="stdout">The writer of the results.</param>
    /// <param name="stderr">The writer of the error if there is nothing to compare.</param>
    /// <param name="tokenize">Encodes a text with the tokenizer of a folder; null to skip the tokenizer.</param>
    /// <param name="cancellationToken">Stops before the next checkpoint.</param>
    /// <returns>The exit code: 0 if all checkpoints passed, 1 if one did not, 2 if there is nothing to compare.</returns>
    public static int Run(string folder, bool json, TextWriter stdout, TextWriter stderr,
        Func<string, string, IReadOnlyList<int>>? tokenize, CancellationToken cancellationToken)
    {
        string[] checkpoints = FindCheckpoints(folder);
        if (checkpoints.Length == 0)
        {
            stderr.WriteLine($"{folder} has no checkpoint with reference outputs: no config.json or golden.json in it or its subfolders.");
            if (json) stdout.WriteLine("[]");
            return 2;
        }
        List<ParityResult> results = [];
        if (!json)
            stdout.WriteLine(FormatLine(
                "name", "architecture", "logits", "hidden", "calls", "batch", "gradients", "greedy", "tree", "tokenizer", ""));
        foreach (string checkpoint in checkpoints)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ParityResult result = CheckpointParity.Run(checkpoint, tokenize);
            results.Add(result);
            if (!json) WriteRow(stdout, result);
        }
        if (json) WriteJson(stdout, results);
        else stdout.WriteLine($"{results.Count(r => r.Passed)} of {results.Count} passed.");
        return results.TrueForAll(r => r.Passed) ? 0 : 1;
    }

    private static string[] FindCheckpoints(string folder)
    {
        if (!Directory.Exists(folder)) return [];
        if (IsCheckpoint(folder)) return [folder];
        return [.. Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal).SelectMany(inner => IsCheckpoint(inner)
            ? (IEnumerable<string>)[inner]
            : Directory.EnumerateDirectories(inner).Where(IsCheckpoint).Order(StringComparer.Ordinal))];
    }

    private static bool IsCheckpoint(string folder) =>
        File.Exists(Path.Combine(folder, "config.json")) || File.Exists(Path.Combine(folder, "golden.json"));

    private static void WriteJson(TextWriter output, List<ParityResult> results)
    {
        using MemoryStream stream = new();
        using (Utf8JsonWriter json = new(stream, new() { Indented = true }))
        {
            json.WriteStartArray();
            foreach (ParityResult result in results) result.Write(json);
            json.WriteEndArray();
        }
        output.WriteLine(System.Text.Encoding.UTF8.GetString(stream.ToArray()));
    }

    private static void WriteRow(TextWriter output, ParityResult r)
    {
        output.WriteLine(FormatLine(r.Name, r.Architecture, Number(r.Logits), Number(r.Hidden), Number(r.Calls), Number(r.Batch),
            Number(r.Gradients), Flag(r.Greedy), Flag(r.Tree), Flag(r.Tokenizer), r.Passed ? "ok" : "FAILED"));
        if (r.Error is not null) output.WriteLine("    " + r.Error.ReplaceLineEndings("\n    "));

        static string Number(double? value) => value is { } number ? number.ToString("0.0e-00", CultureInfo.InvariantCulture) : "-";
        static string Flag(bool? value) => value switch { true => "same", false => "DIFFERS", null => "-" };
    }

    private static string FormatLine(params string[] cells) =>
        string.Concat(cells.Select((cell, i) => cell.PadRight(i switch { 0 => 16, 1 => 24, _ => 10 }))).TrimEnd();
}
