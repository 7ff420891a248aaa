using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Scheduling;
using Ndif.Engine;
using Ndif.Models.Loading;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// The rows of decode steps that are computed for nobody, of a model with almost no arithmetic that counts its rows. A generated sequence
/// of n tokens needs a row in n - 1 steps; every other row belongs to a sequence that has ended, an invoke that has stopped, or a job that
/// was cancelled.
/// </summary>
internal static class WastedRows
{
    private const int Jobs = 60;

    public static IReadOnlyList<Measurement> Measure(RunSettings settings)
    {
        using LoadedModel loaded = GPT2Checkpoint.Tiny.Load();
        var (model, counter) = RowCountingModel.Around(loaded);
        var hookedModel = new HookedLanguageModel(model);
        var llm = new LanguageModel(GPT2Checkpoint.Tiny.Folder());
        return
        [
            Figure("one sequence a job", random => [random.Next(2, 40)]),
            Figure("invokes of other lengths in a job", random => [.. Enumerable.Range(0, 4).Select(_ => random.Next(2, 40))]),
            Figure("an invoke that stops", random => [random.Next(2, 10), random.Next(20, 40)], stops: true),
            new("concurrency.waste, padding of prompts", (double)counter.PaddingTokens / counter.PromptTokens, "of the tokens",
                $"{counter.PromptTokens} tokens of the prompts of all these jobs, of which {counter.PaddingTokens} are padding; a kernel may "
                + "leave out their arithmetic"),
        ];

        Measurement Figure(string what, Func<Random, int[]> lengths, bool stops = false)
        {
            var random = new Random(6);
            long before = counter.DecodeRows, needed = 0;
            using var scheduler = new ModelScheduler(hookedModel);
            int added = 0;
            List<TimedJob> jobs = [];
            while (added < Jobs || scheduler.JobCount > 0)
            {
                if (added < Jobs && random.Next(3) == 0)
                {
                    int[] sequences = lengths(random);
                    needed += sequences.Sum(tokens => tokens - 1);
                    var job = new TimedJob(Compiler.Compile(Record(llm, sequences, stops, random), hookedModel));
                    job.AddTo(scheduler);
                    jobs.Add(job);
                    added++;
                }
                scheduler.Step();
            }
            jobs.ForEach(job => job.Dispose());
            long computed = counter.DecodeRows - before;
            if (computed < needed) throw new InvalidOperationException($"{computed} rows were counted of {needed} that are needed.");
            return new($"concurrency.waste, {what}", (double)(computed - needed) / computed, "of the rows",
                $"{computed} rows in the decode steps of {Jobs} jobs that come and go, of which {needed} are needed", new Goal(0));
        }
    }

    /// <summary>An invoke for each sequence.</summary>
    /// <param name="stops">Whether the first invoke asks for as many tokens as the longest one, and stops at its length.</param>
    private static Protocol.Program Record(LanguageModel llm, int[] sequences, bool stops, Random random)
    {
        using Trace trace = llm.Generate(maxNewTokens: sequences.Max());
        for (int i = 0; i < sequences.Length; i++)
        {
            bool stopsHere = stops && i == 0;
            GenerationOptions options = new() { MaxNewTokens = stopsHere ? sequences.Max() : sequences[i], IgnoreEos = true };
            using (trace.Invoke(GPT2Checkpoint.Tiny.Prompt(random.Next(2, 12)), options))
            {
                if (stopsHere)
                {
                    foreach (int step in trace.Iter[..sequences[i]]) llm.Layers[0].Hidden[.., ^1].Save();
                    trace.Stop();
                }
                else
                {
                    trace.Result.Save();
                }
            }
        }
        return trace.ToProgram();
    }
}
