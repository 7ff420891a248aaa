using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// The processor time of a trace by its number of invokes, on a model with almost no arithmetic: the time per invoke at each size, and the
/// slope of the logarithm of the time over the logarithm of the number, which is 1 if an invoke costs the same in any batch.
/// </summary>
internal sealed class InvokesGroup : BenchmarkGroup
{
    private const double SlopeLimit = 1.05;

    private static readonly int[] _counts = [10, 100, 1_000, 10_000, 20_000];

    private readonly Lazy<LoadedModel> _model = new(GPT2Checkpoint.Tiny.Load);

    public override string Name => "Invokes";

    public override IReadOnlyList<Benchmark> Entries =>
    [
        Benchmark.Of("invokes.read", settings => Measure(settings, "invokes.read", (llm, _) => llm.Layers[6].Hidden.Save())),
        Benchmark.Of("invokes.edit", settings => Measure(settings, "invokes.edit", (llm, _) =>
        {
            llm.Layers[6].Hidden[..] *= 2;
            llm.Logits[.., ^1].Save();
        })),
        Benchmark.Of("invokes.replace", settings => Measure(settings, "invokes.replace", (llm, _) =>
        {
            llm.Layers[6].Hidden = llm.Layers[6].Hidden * 2;
            llm.Logits[.., ^1].Save();
        })),
        Benchmark.Of("invokes.skip", settings => Measure(settings, "invokes.skip", (llm, _) =>
        {
            llm.Layers[6].Skip(llm.Layers[5].Output);
            llm.Logits[.., ^1].Save();
        })),
        Benchmark.Of("invokes.cache", settings => Measure(settings, "invokes.cache", (llm, t) => t.Cache([llm.Layers[6]]))),
        Benchmark.Of("invokes.barrier", settings => Measure(settings, "invokes.barrier", (llm, t, barrier) =>
        {
            llm.Layers[6].Hidden.Save();
            barrier.Wait();
        })),
        Benchmark.Of("invokes.persistent edit", settings => Measure(settings, "invokes.persistent edit",
            (llm, _) => llm.Logits[.., ^1].Save(), edit: llm => llm.Layers[6].Hidden = llm.Layers[6].Hidden * 2)),
        Benchmark.Of("invokes.generate", settings => Measure(settings, "invokes.generate", (llm, t) => t.Result.Save(), newTokens: 2)),
    ];

    public override ValueTask DisposeAsync()
    {
        if (_model.IsValueCreated) _model.Value.Dispose();
        return base.DisposeAsync();
    }

    private IReadOnlyList<Measurement> Measure(RunSettings settings, string name, Action<LanguageModel, Trace> body, int newTokens = 0,
        Action<LanguageModel>? edit = null) => Measure(settings, name, (llm, trace, _) => body(llm, trace), newTokens, edit);

    /// <summary>Records, compiles and runs a trace with each number of invokes, whose prompts have two to five tokens.</summary>
    private IReadOnlyList<Measurement> Measure(RunSettings settings, string name, Action<LanguageModel, Trace, Barrier> body,
        int newTokens = 0, Action<LanguageModel>? edit = null)
    {
        var hookedModel = new HookedLanguageModel(_model.Value); // the group disposes the model
        var llm = new LanguageModel(GPT2Checkpoint.Tiny.Folder());
        if (edit is not null) llm.Edit(() => edit(llm), inPlace: true);
        double[] record = new double[_counts.Length], compile = new double[_counts.Length], run = new double[_counts.Length];
        for (int round = 0; round < 3; round++) // so that the code is compiled, with optimizations
            Measure(llm, hookedModel, body, newTokens, 1_000, record, compile, run, 0);
        Array.Fill(record, double.PositiveInfinity);
        Array.Fill(compile, double.PositiveInfinity);
        Array.Fill(run, double.PositiveInfinity);
        for (int at = 0; at < _counts.Length; at++)
            // as many runs of a small trace as take the time of a large one, of which the fastest counts
            for (int round = 0; round < Math.Max(3, settings.RoundCount(2_000) / _counts[at]); round++)
                Measure(llm, hookedModel, body, newTokens, _counts[at], record, compile, run, at);
        return [.. Figures("record", record), .. Figures("compile", compile), .. Figures("run", run)];

        IEnumerable<Measurement> Figures(string phase, double[] seconds)
        {
            string each = string.Join(", ", _counts.Select((count, at) =>
                FormattableString.Invariant($"{count:N0}: {1e6 * seconds[at] / count:0.0}")));
            yield return new($"{name}, {phase}", Slope(seconds), "log/log", $"microseconds an invoke: {each}", new Goal(SlopeLimit));
        }
    }

    private static void Measure(LanguageModel llm, HookedLanguageModel model, Action<LanguageModel, Trace, Barrier> body, int newTokens,
        int count, double[] record, double[] compile, double[] run, int at)
    {
        TimeSpan from = ProcessorTime();
        Protocol.Program program = Record(llm, body, newTokens, count);
        record[at] = Math.Min(record[at], (ProcessorTime() - from).TotalSeconds);
        from = ProcessorTime();
        Plan plan = Compiler.Compile(program, model);
        compile[at] = Math.Min(compile[at], (ProcessorTime() - from).TotalSeconds);
        from = ProcessorTime();
        var sink = new CountingSink();
        using (var job = new JobRun(plan, sink))
        {
            ProgramEngine.Run(model, [job]);
            if (job.Error is { } error) throw new InvalidOperationException(error.Message);
        }
        run[at] = Math.Min(run[at], (ProcessorTime() - from).TotalSeconds);
        if (sink.Count != count) throw new InvalidOperationException($"{sink.Count} of {count} values came.");
    }

    private static Protocol.Program Record(LanguageModel llm, Action<LanguageModel, Trace, Barrier> body, int newTokens, int count)
    {
        using Trace trace = newTokens > 0 ? llm.Generate(maxNewTokens: newTokens) : llm.Trace();
        Barrier barrier = trace.Barrier(count);
        for (int i = 0; i < count; i++)
            using (trace.Invoke(GPT2Checkpoint.Tiny.Prompt(2 + i % 4))) body(llm, trace, barrier);
        return trace.ToProgram();
    }

    /// <summary>Of all threads: other processes hardly affect it.</summary>
    private static TimeSpan ProcessorTime() => Environment.CpuUsage.TotalTime;

    /// <summary>The slope of the regression line of log(seconds) over log(count).</summary>
    private static double Slope(double[] seconds)
    {
        double[] x = [.. _counts.Select(count => Math.Log((double)count))], y = [.. seconds.Select(time => Math.Log(time))];
        double meanX = x.Average(), meanY = y.Average();
        return x.Zip(y).Sum(p => (p.First - meanX) * (p.Second - meanY)) / x.Sum(v => (v - meanX) * (v - meanX));
    }
}
