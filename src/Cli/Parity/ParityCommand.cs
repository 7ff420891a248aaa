using System.Globalization;
using System.Text.Json;

namespace Ndif.Cli.Parity;

/// <summary>`ndif parity FOLDER`: compares our models with Hugging Face's reference outputs, one checkpoint per subfolder.</summary>
public static class ParityCommand
{
    /// <param name="folder">One checkpoint with its reference outputs, or a folder of such folders.</param>
    /// <param name="json">Writes a JSON array and nothing else to <paramref name="stdout"/>, instead of a table.</param>
    /// <param name="tokenize">The ids of a text by the tokenizer in a folder; null leaves the tokenizer out.</param>
    /// <returns>0 if all passed, 1 if one did not, 2 if there is nothing to compare.</returns>
    public static int Run(string folder, bool json, TextWriter stdout, TextWriter stderr,
        Func<string, string, IReadOnlyList<int>>? tokenize, CancellationToken cancellationToken)
    {
        string[] checkpoints = Checkpoints(folder);
        if (checkpoints.Length == 0)
        {
            stderr.WriteLine($"{folder} has no checkpoint with reference outputs: no config.json or golden.json in it or its subfolders.");
            if (json) stdout.WriteLine("[]");
            return 2;
        }
        List<ParityResult> results = [];
        if (!json)
            stdout.WriteLine(Line("name", "architecture", "logits", "hidden", "calls", "batch", "gradients", "greedy", "tree", "tokenizer", ""));
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

    private static string[] Checkpoints(string folder)
    {
        if (!Directory.Exists(folder)) return [];
        if (IsCheckpoint(folder)) return [folder];
        return [.. Directory.EnumerateDirectories(folder).Where(IsCheckpoint).Order(StringComparer.Ordinal)];
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
        output.WriteLine(Line(r.Name, r.Architecture, Number(r.Logits), Number(r.Hidden), Number(r.Calls), Number(r.Batch),
            Number(r.Gradients), Flag(r.Greedy), Flag(r.Tree), Flag(r.Tokenizer), r.Passed ? "ok" : "FAILED"));
        if (r.Error is not null) output.WriteLine("    " + r.Error.ReplaceLineEndings("\n    "));

        static string Number(double? value) => value is { } number ? number.ToString("0.0e-00", CultureInfo.InvariantCulture) : "-";
        static string Flag(bool? value) => value switch { true => "same", false => "DIFFERS", null => "-" };
    }

    private static string Line(params string[] cells) =>
        string.Concat(cells.Select((cell, i) => cell.PadRight(i switch { 0 => 16, 1 => 24, _ => 10 }))).TrimEnd();
}
