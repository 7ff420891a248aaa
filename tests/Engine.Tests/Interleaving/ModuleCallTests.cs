using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;
using TorchSharp;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Calls of the same module by several invokes are one product. Nobody can tell, but by the time.</summary>
public sealed class ModuleCallTests
{
    private const int Layers = 4;

    private static readonly int[] _prompt = [3, 1, 4];

    private static double Tolerance => LinearKernels.IsEnabled ? 0 : 1e-6;

    /// <param name="saved">The calls of a module of the program that were not computed, of <see cref="Layers"/> in each pass.</param>
    [Theory]
    [InlineData("jobs at one layer", Layers - 1)]
    [InlineData("jobs at different layers", Layers - 1)]
    [InlineData("invokes at one layer", Layers - 1)]
    [InlineData("invokes at different layers", Layers - 1)]
    [InlineData("steps of jobs", 5 * (Layers - 1))]
    [InlineData("steps of invokes", 5 * (Layers - 1))]
    [InlineData("steps counted by the engine", 5 * (Layers - 1))]
    [InlineData("one invoke", 0)]
    [InlineData("result used at once", 0)]
    [InlineData("long rows", 0)]
    public void CallsOfSeveralInvokes_AreOneProduct(string kind, int saved)
    {
        using EngineFixture fixture = NewFixture("gpt2");
        LanguageModel llm = fixture.Model;
        int[] prompt = kind == "long rows" ? [.. Enumerable.Repeat(5, 20)] : _prompt;
        Program[] programs = kind switch
        {
            "jobs at one layer" => [.. Each(_ => fixture.Record(prompt, t => Lens(1).Save("lens")))],
            "jobs at different layers" => [.. Each(layer => fixture.Record(prompt, t => Lens(layer).Save("lens")))],
            "invokes at one layer" => [fixture.Record(null, t => Invokes(t, i => Lens(1).Save($"{i}")))],
            "invokes at different layers" => [fixture.Record(null, t => Invokes(t, layer => Lens(layer).Save($"{layer}")))],
            "steps of jobs" => [.. Each(layer => fixture.Record(prompt, 5, t => Steps(t, layer)))],
            "steps of invokes" => [fixture.RecordIn(llm.Generate(maxNewTokens: 5), t => Invokes(t, layer => Steps(t, layer)))],
            "steps counted by the engine" => [.. Each(layer => fixture.Record(prompt, 5, t =>
            {
                ValueList list = t.List();
                list.Save("lens");
                t.Iter.Each(_ => list.Append(Lens(layer)));
            }))],
            "one invoke" => [fixture.Record(prompt, _ =>
            {
                for (int layer = 0; layer < Layers; layer++) Lens(layer).Save($"{layer}");
            })],
            "result used at once" => [.. Each(layer => fixture.Record(prompt, _ =>
            {
                Value lens = Lens(layer);
                llm.Layers[layer].Hidden[.., 0] = lens[.., 0, ..32];
                llm.Logits.Save("logits");
            }))],
            _ => [.. Each(layer => fixture.Record(prompt, _ => Lens(layer).Save("lens")))],
        };
        JobOutcome[] expected = [.. programs.Select(program => Run(fixture, [program], joins: false)[0].AssertCompleted())];
        long before = FastPathCounter.Count;
        Run(fixture, programs, joins: false);
        long separately = FastPathCounter.Count - before;
        JobOutcome[] actual = Run(fixture, programs, joins: true);
        long together = FastPathCounter.Count - before - separately;
        for (int i = 0; i < programs.Length; i++) OutcomeAssert.Same(expected[i], actual[i], $"job {i}", Tolerance);
        if (LinearKernels.IsEnabled) Assert.Equal(saved, separately - together);

        // the fused kernel of an MLP counts its calls
        Value Lens(int layer) => llm.LmHead.Call(llm.Layers[0].Mlp.Call(llm.Layers[layer].Hidden));

        void Steps(Trace t, int layer)
        {
            ValueList list = t.List();
            list.Save($"lens {layer}");
            foreach (int step in t.Iter[..]) list.Append(Lens(layer)[.., ^1].ArgMax(-1));
        }

        void Invokes(Trace t, Action<int> invoke)
        {
            for (int i = 0; i < Layers; i++)
                using (t.Invoke(prompt)) invoke(i);
        }

        static IEnumerable<Program> Each(Func<int, Program> record) => Enumerable.Range(0, Layers).Select(record);
    }

    [Fact]
    public void AnErrorOfACall_IsThatOfItsOwnInvoke()
    {
        using EngineFixture fixture = NewFixture("gpt2");
        LanguageModel llm = fixture.Model;
        Program wrong = fixture.Record(_prompt, _ => llm.LmHead.Call(llm.Layers[0].Hidden[.., .., ..5]).Save("lens"));
        Program right = fixture.Record(_prompt, _ => llm.LmHead.Call(llm.Layers[0].Hidden).Save("lens"));
        JobOutcome[] outcomes = fixture.Run(wrong, wrong, right, right);
        Error expected = fixture.Run(wrong)[0].AssertFailed(ErrorCode.OpFailed);
        Assert.Equal(expected, outcomes[0].Error);
        Assert.Equal(expected, outcomes[1].Error);
        outcomes[2].AssertCompleted();
        outcomes[3].AssertCompleted();
    }

    /// <summary>
    /// The reference is the same job alone, whose calls are computed where they are made. So the orders in which its invokes
    /// change shared lists, log, draw random numbers and fail have to be the same, too.
    /// </summary>
    [Theory]
    [InlineData("gpt2")]
    [InlineData("LlamaForCausalLM")]
    [InlineData("GemmaForCausalLM")]
    public void RandomJobs_GiveBitwiseWhatTheyGive_IfEachCallIsComputedAtOnce(string architecture)
    {
        using EngineFixture fixture = NewFixture(architecture);
        for (int seed = 0; seed < 15; seed++)
        {
            var random = new Random(seed);
            Program[] programs = [.. Enumerable.Range(0, 5).Select(_ => RandomProgram(fixture, random))];
            JobOutcome[] expected = [.. programs.Select(program => Run(fixture, [program], joins: false)[0])];
            JobOutcome[] alone = [.. programs.Select(program => Run(fixture, [program], joins: true)[0])];
            JobOutcome[] together = Run(fixture, programs, joins: true);
            for (int job = 0; job < programs.Length; job++)
            {
                string name = $"seed {seed}, job {job}";
                Same(expected[job], alone[job], $"{name} alone");
                Same(expected[job], together[job], $"{name} together");
            }
        }

        static void Same(JobOutcome expected, JobOutcome actual, string name)
        {
            Assert.True(Equals(expected.Error, actual.Error), $"{name}: {expected.Error}; {actual.Error}");
            if (expected.Error is null) OutcomeAssert.Same(expected, actual, name, Tolerance);
        }
    }

    private static Program RandomProgram(EngineFixture fixture, Random random)
    {
        LanguageModel llm = fixture.Model;
        bool generates = random.Next(2) == 0;
        int steps = random.Next(2, 5), invokes = random.Next(1, 5), saves = 0;
        Trace trace = generates ? llm.Generate(maxNewTokens: steps, options: new() { IgnoreEos = true }) : llm.Trace();
        return fixture.RecordIn(trace, t =>
        {
            ValueList shared = t.List();
            shared.Save("shared");
            Value? previous = null;
            for (int i = 0; i < invokes; i++)
            {
                int[] prompt = [.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => random.Next(TinyModel.VocabSize))];
                using (t.Invoke(prompt))
                {
                    ValueList own = t.List();
                    own.Save($"own {i}");
                    if (generates && random.Next(4) > 0)
                    {
                        Value? ofStep = previous;
                        foreach (int step in t.Iter[..(random.Next(3) == 0 ? 1 : steps)]) ofStep = Statements(own, ofStep, step);
                        if (random.Next(2) == 0) llm.Layers[random.Next(Layers)].Hidden.Save($"after {i}");
                    }
                    else
                    {
                        previous = Statements(own, previous, 0);
                    }
                    if (generates && random.Next(2) == 0) t.Result.Save($"result {i}");
                }
            }

            Value? Statements(ValueList own, Value? earlier, int step)
            {
                Value? last = earlier;
                int at = 0;
                for (int count = random.Next(1, 6); count > 0; count--)
                {
                    at = Math.Min(Layers - 1, at + random.Next(0, 3));
                    Envoy layer = llm.Layers[at];
                    Value hidden = random.Next(6) == 0 ? layer.Mlp.Output : layer.Hidden;
                    Value lens = llm.LmHead.Call(random.Next(4) == 0 ? hidden : llm.FinalNorm.Call(random.Next(2) == 0 ? hidden
                        : hidden[.., ^1]));
                    switch (random.Next(14))
                    {
                        case 0: own.Append(lens); break;
                        case 1: shared.Append(lens.Sum()); break;
                        case 2: t.Log(lens.Sum()); break;
                        case 3: lens.Save($"lens {saves++}"); break;
                        case 4: own.Append((lens + Op.RandLike(lens)).Sum()); break;
                        case 5: hidden[.., ^1] += 0.25; break;
                        case 6: layer.Output = layer.Output; break;
                        case 7: lens[.., 3] = 1; own.Append(lens); break;
                        case 8: if (last is not null) own.Append(last); break;
                        case 9: own.Append(layer.Input.Sum()); break;
                        case 10: if (random.Next(8) == 0) own.Append(lens[99]); break;
                        case 11: hidden[.., ^1] = hidden[.., ^1] * lens.Sum() * 0.001; break;
                        case 12: if (random.Next(6) == 0 && step > 0) t.Stop(); break;
                        default: own.Append(llm.Layers[0].Mlp.Call(hidden).Sum()); break;
                    }
                    last = lens;
                }
                return last;
            }
        });
    }

    private static EngineFixture NewFixture(string architecture) => EngineFixture.Of(architecture == "gpt2"
        ? TinyModel.GPT2(heads: 2, layers: Layers, hiddenSize: 32)
        : TinyModel.LikeLlama(architecture, 2, Layers).Replace("\"head_dim\": 4", "\"head_dim\": 16", StringComparison.Ordinal)
            .Replace("\"intermediate_size\": 24", "\"intermediate_size\": 32", StringComparison.Ordinal));

    private static JobOutcome[] Run(EngineFixture fixture, Program[] programs, bool joins)
    {
        fixture.HookedModel.JoinsModuleCalls = joins;
        JobOutcome[] outcomes = [.. programs.Select(_ => new JobOutcome())];
        JobRun[] runs =
            [.. programs.Select((program, i) => new JobRun(Compiler.Compile(program, fixture.HookedModel), outcomes[i]) { Seed = 7 })];
        long before = torch.Tensor.TotalCount;
        using (var scheduler = new ModelScheduler(fixture.HookedModel) { MinTimeSlice = TimeSpan.FromHours(1) }) // no pass is divided
        {
            foreach (JobRun run in runs) scheduler.Add(run);
            while (scheduler.JobCount > 0) scheduler.Step();
        }
        for (int i = 0; i < runs.Length; i++)
        {
            outcomes[i].Error = runs[i].Error;
            runs[i].Dispose();
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
        return outcomes;
    }
}
