using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Chaos;

/// <summary>An experiment of the chaos run: its program, and the values that it saves when it runs alone in this process.</summary>
internal sealed record Workload(string Name, Protocol.Program Program, IReadOnlyList<SavedValue> Expected)
{
    /// <summary>Small and large results, streams of tokens, and runs that are long enough to lose their worker in the middle.</summary>
    private static readonly string[] _experiments =
        ["prompt:0", "prompt:1", "prompt:2", "prompt:4", "prompt:7", "states", "edit", "generate:12", "tokens:16", "large:2", "slow:60",
            "slow:120"];

    /// <summary>
    /// Records and runs each experiment alone, and writes its program and results into a folder for the client processes.
    /// </summary>
    public static async Task WriteAllAsync(string folder)
    {
        foreach (string experiment in _experiments)
        {
            List<SavedValue> solo = [];
            using RecordedExperiment recorded = experiment.StartsWith("tokens:", StringComparison.Ordinal)
                ? Tokens(int.Parse(experiment[7..])) : Experiments.Record(experiment, Backend.Local);
            Protocol.Program program = recorded.Trace.ToProgram();
            recorded.Trace.OnEvent = jobEvent =>
            {
                if (jobEvent.Raw.Value is { } value) solo.Add(value);
            };
            recorded.Trace.OnLog = _ => { };
            await recorded.RunAsync();
            if (solo.Count == 0) throw new InvalidOperationException($"{experiment} saved nothing");
            await using FileStream file = File.Create(Path.Combine(folder, experiment.Replace(':', '-') + ".work"));
            program.WriteDelimitedTo(file);
            foreach (SavedValue value in solo) value.WriteDelimitedTo(file);
        }
    }

    /// <summary>The workloads that <see cref="WriteAllAsync"/> wrote.</summary>
    public static IReadOnlyList<Workload> ReadAll(string folder) =>
        [.. Directory.EnumerateFiles(folder, "*.work").Order(StringComparer.Ordinal).Select(path =>
    {
        using FileStream file = File.OpenRead(path);
        Protocol.Program program = Protocol.Program.Parser.ParseDelimitedFrom(file);
        List<SavedValue> solo = [];
        while (file.Position < file.Length) solo.Add(SavedValue.Parser.ParseDelimitedFrom(file));
        return new Workload(Path.GetFileNameWithoutExtension(path), program, solo);
    })];

    private static RecordedExperiment Tokens(int count)
    {
        var llm = new LanguageModel(Experiments.Model);
        Trace trace = llm.Generate("Big Ben is in the city of", count, new() { IgnoreEos = true, Stream = true });
        return new RecordedExperiment(trace, [("ids", trace.Result.Save())]);
    }
}
