using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// The fixed costs of a trace on a model of 12 layers with almost no arithmetic, on the fused kernels, so that its forward is short:
/// running it with one saved value, the logits, beyond the bare forward, each further value, and the way through recorder and compiler.
/// </summary>
internal static class TraceOverhead
{
    private const int Tokens = 10, Warmup = 1_000;

    public static IReadOnlyList<Measurement> Measure(RunSettings settings)
    {
        using LoadedModel tiny = GPT2Checkpoint.TinyFused.Load();
        var hookedModel = new HookedLanguageModel(tiny);
        string folder = GPT2Checkpoint.TinyFused.Folder();
        long[] prompt = GPT2Checkpoint.TinyFused.Prompt(Tokens);
        int layers = GPT2Checkpoint.TinyFused.NumLayers;
        var llm = new LanguageModel(folder);
        var all = new SavedLayersRun(hookedModel, folder, prompt, layers - 1);
        var one = new SavedLayersRun(hookedModel, folder, prompt);
        using var row = new PromptInput(prompt);
        Protocol.Program program = SavedLayersRun.Record(llm, prompt, 0);
        BestTimes times = BestTimes.Measure(settings.RoundCount(10_000), Warmup, () => row.Run(tiny), one.Run, all.Run,
            () => SavedLayersRun.Record(llm, prompt, 0), () => Compiler.Compile(program, hookedModel));
        Best forward = 1e6 * times.Time(0), trace = 1e6 * times.Difference(1, 0), value = 1e6 / (layers - 1) * times.Difference(2, 1);
        Best record = 1e6 * times.Time(3), compile = 1e6 * times.Time(4);
        return
        [
            new("concurrency.trace of 1 saved value", trace.Value, "us",
                $"the bare forward, {forward.Value:0.0} us; best of all runs, {trace.Range} us in five parts of them", new Goal(15)),
            new("concurrency.trace, each further value", value.Value, "us",
                $"{layers} saved values against 1; {value.Range} us in five parts", new Goal(1.5)),
            new("concurrency.trace, record", record.Value, "us",
                $"nothing: the recorder alone, 1 saved value; {record.Range} us in five parts"),
            new("concurrency.trace, compile", compile.Value, "us", $"nothing: the compiler alone; {compile.Range} us in five parts"),
        ];
    }
}
