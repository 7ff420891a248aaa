using Ndif.Benchmarks.Fixtures;
using Ndif.Benchmarks.Harness;
using Ndif.Engine.Compiling;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>
/// The tokens per second of sixteen users with sixteen different programs together. The baselines are the same rows without programs in
/// plain TorchSharp, one batch with a cache, whose logits are compared first; and the users one after the other, of which five are
/// measured, one with a program of each kind.
/// </summary>
internal static class MixedThroughput
{
    private const int Users = 16;

    public static IReadOnlyList<Measurement> Measure(ServedModel model, RunSettings settings)
    {
        string name = $"concurrency.{model.Name} {Users} users";
        int newTokens = settings.IsQuick ? 8 : 24, kinds = UserPrograms.Kinds.Length;
        int[][] prompts = Prompts(model);
        using IPlainLanguageModel plain = model.ToPlain();
        double difference = PlainAgreement.Require(model, plain, prompts);
        Plan[] programs = [.. prompts.Select((prompt, user) => Compile(user % kinds, user))];
        using var generation = new PlainGeneration(plain, prompts, newTokens);
        InterleavedTimings times = InterleavedTimings.Measure(settings.IsQuick ? 3 : 8, warmup: 1,
            () => model.Run(programs), generation.Run, RunAlone);
        Estimate ratio = times.Ratio(1, 0), together = times.Ratio(2, 0);
        double gain = (double)Users / kinds;
        return
        [
            new($"{name}, tokens/s", ratio.Median, "x",
                $"the same rows without programs in plain TorchSharp, {Rate(1, Users):0.0} tokens/s; ours {Rate(0, Users):0.0} tokens/s "
                + $"(± {ratio.Margin:0.000} x; logits differ by {difference:0.0e0})", Goal.AtLeast(0.9)),
            new($"{name}, tokens/s, processor time", 1 / times.ProcessorRatio(0, 1).Median, "x", "plain TorchSharp's, of all threads"),
            new($"{name}, against one alone", gain * together.Median, "x",
                $"one user at a time, {Rate(2, kinds):0.0} tokens/s (± {gain * together.Margin:0.00} x)",
                model.IsFloat32 ? Goal.AtLeast(6) : null),
        ];

        Plan Compile(int kind, int user) => model.Compile(UserPrograms.Record(model, kind, user, prompts[user], newTokens));

        double Rate(int candidate, int users) => users * newTokens / times.Time(candidate).Median;

        void RunAlone()
        {
            foreach (Plan program in programs[..kinds]) model.Run(program);
        }
    }

    /// <summary>Which kind of program costs what: sixteen users that all have programs of one kind, against the rows without.</summary>
    public static IReadOnlyList<Measurement> MeasureKinds(ServedModel model, RunSettings settings)
    {
        int newTokens = settings.IsQuick ? 8 : 16, lens = Array.IndexOf(UserPrograms.Kinds, "lens");
        int[][] prompts = Prompts(model);
        using IPlainLanguageModel plain = model.ToPlain();
        using var generation = new PlainGeneration(plain, prompts, newTokens);
        Plan[] bare = [.. prompts.Select(prompt => model.CompileGeneration(prompt, newTokens))];
        Plan[][] programs = [.. UserPrograms.Kinds.Select((_, kind) => prompts
            .Select((prompt, user) => model.Compile(UserPrograms.Record(model, kind, user, prompt, newTokens))).ToArray())];
        InterleavedTimings times = InterleavedTimings.Measure(settings.IsQuick ? 3 : 5, warmup: 1,
            [generation.Run, () => model.Run(bare), .. programs.Select(plans => (Action)(() => model.Run(plans))), RunWithoutJoining]);
        return
        [
            Figure("no programs", 1),
            .. UserPrograms.Kinds.Select((kind, i) => Figure($"all {kind}", i + 2)),
            Figure("all lens, each call of the head by itself", UserPrograms.Kinds.Length + 2),
        ];

        void RunWithoutJoining()
        {
            model.HookedModel.JoinsModuleCalls = false;
            model.Run(programs[lens]);
            model.HookedModel.JoinsModuleCalls = true;
        }

        Measurement Figure(string what, int candidate)
        {
            Estimate ratio = times.Ratio(0, candidate);
            return new($"concurrency.{model.Name} {Users} users, {what}", ratio.Median, "x",
                $"the rows without programs in plain TorchSharp (± {ratio.Margin:0.000} x)");
        }
    }

    private static int[][] Prompts(ServedModel model)
    {
        var random = new Random(4);
        return [.. Enumerable.Range(0, Users).Select(_ => model.Prompt(random.Next(6, 24), random))];
    }
}
