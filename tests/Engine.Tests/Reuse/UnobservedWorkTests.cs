using Ndif.Engine.Compiling;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;

namespace Ndif.Engine.Tests.Reuse;

/// <summary>What no program sees is not computed, and what it sees is the same.</summary>
public sealed class UnobservedWorkTests
{
    private static readonly int[] _prompt = [4, 5, 6, 7];

    public static TheoryData<string, bool> LogitUses => new()
    {
        { "last", true }, { "last of the first row", true }, { "last as a range", true }, { "argmax of the last", true },
        { "hidden", true },
        { "head, last", true }, { "all", false }, { "first", false }, { "by position", false }, { "shape", false }, { "result", false },
        { "edit", false }, { "head input", false }, { "cache", false }, { "last and first", false }, { "two last", false },
    };

    [Theory]
    [MemberData(nameof(LogitUses))]
    public void LogitsOfLastTokens_AreSufficientWhereAProgramReadsNoOthers(string use, bool expected)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama());
        LanguageModel llm = fixture.Model;
        Program program = fixture.Record(_prompt, t => Use(t, llm, use));
        Plan plan = Compiler.Compile(program, fixture.HookedModel);
        TraceStatement trace = plan.Statements.OfType<TraceStatement>().Single();
        Assert.Equal(expected, RequiredLogits.Find(fixture.HookedModel, plan, trace).AreOfLastTokens);
    }

    /// <summary>Beside an invoke that reads all logits, the pass computes all of them.</summary>
    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("gemma2")]
    [InlineData("bloom")]
    public void PaddedRows_HaveTheLogitsOfTheirLastTokens(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2));
        LanguageModel llm = fixture.Model;
        int[][] prompts = [[3], _prompt, [9, 8], [1, 2, 3, 4, 5, 6, 7]];
        JobOutcome last = Run("last"), all = Run("all");
        for (int i = 0; i < prompts.Length; i++)
            TensorAssert.Equal(all.Tensor($"{i}"), last.Tensor($"{i}"), 1e-5);

        JobOutcome Run(string use) => fixture.Run(fixture.RecordIn(llm.Trace(), t =>
        {
            for (int i = 0; i < prompts.Length; i++)
                using (t.Invoke(prompts[i]))
                {
                    llm.Layers[0].Hidden[.., ^1] *= 1 + i;
                    llm.Logits[.., ^1].Save($"{i}");
                    if (use == "all") llm.Logits.Save($"all {i}");
                }
        }))[0].AssertCompleted();
    }

    public static TheoryData<string, long[]?> TokenIdUses => new()
    {
        { "one", [5] }, { "one of the first row", [5] }, { "several", [5, 7, -1] }, { "range", [2, 3, 4] }, { "in steps", [5] },
        { "in steps, all rows", [5, 6] }, { "none", [] }, { "two reads", [5, 6] }, { "all", null }, { "by a value", null },
        { "one and all", null }, { "maximum", null }, { "open range", null },
    };

    [Theory]
    [MemberData(nameof(TokenIdUses))]
    public void LogitsOfSomeTokenIds_AreComputedAlone(string use, long[]? expected)
    {
        foreach (string config in (string[])[TinyModel.Llama(), TinyModel.GPT2(), TinyConfigs.Of("gemma2", 2), TinyConfigs.Of("gptj", 2)])
        {
            using EngineFixture fixture = EngineFixture.Of(config);
            LanguageModel llm = fixture.Model;
            int[][] prompts = [_prompt, [3, 4]];
            Program program = fixture.RecordIn(llm.Trace(), t =>
            {
                foreach (int[] prompt in prompts)
                    using (t.Invoke(prompt)) Experiment($"x{prompt.Length}");
            });
            Plan plan = Compiler.Compile(program, fixture.HookedModel);
            TraceStatement trace = plan.Statements.OfType<TraceStatement>().Single();
            Assert.Equal(expected?.Order(), RequiredLogits.Find(fixture.HookedModel, plan, trace).TokenIds?.Order());
            Program whole = fixture.RecordIn(llm.Trace(), t =>
            {
                foreach (int[] prompt in prompts)
                    using (t.Invoke(prompt))
                    {
                        Experiment($"x{prompt.Length}");
                        llm.Logits.Save($"all logits of {prompt.Length}");
                    }
            });
            JobOutcome some = fixture.Run(program)[0], all = fixture.Run(whole)[0];
            if (use == "none") continue;
            foreach (int[] prompt in prompts)
                TensorAssert.Equal(all.Tensor($"x{prompt.Length}"), some.Tensor($"x{prompt.Length}"), 1e-6);

            void Experiment(string name)
            {
                llm.Layers[0].Hidden[.., ^1] *= 2;
                switch (use)
                {
                    case "one": llm.Logits[.., ^1, 5].Save(name); break;
                    case "one of the first row": (llm.Logits[0, ^1, 5] * 2).Save(name); break;
                    case "several": llm.Logits[.., ^1, new[] { 5, 7, -1 }].Save(name); break;
                    case "range": llm.Logits[.., ^1.., 2..5].Save(name); break;
                    case "in steps": llm.Logits[0, ^1][5].Save(name); break;
                    case "in steps, all rows":
                        Value last = llm.Logits[.., ^1];
                        (last[.., 5] - last[0, 6]).Save(name);
                        break;
                    case "two reads": (llm.LmHead.Output[.., ^1, 6] - llm.Logits[.., ^1, 5]).Save(name); break;
                    case "all": llm.Logits[.., ^1].Save(name); break;
                    case "by a value": llm.Logits[0, ^1, llm.Logits[0, ^1, 5].Long() * 0].Save(name); break;
                    case "one and all": (llm.Logits[.., ^1, 5] + llm.Logits[.., ^1].Sum()).Save(name); break;
                    case "maximum": llm.Logits[0, ^1].Max().Save(name); break;
                    case "open range": llm.Logits[.., ^1, 5..].Save(name); break;
                    default: break;
                }
            }
        }
    }

    /// <summary>The layers that have run are those whose outputs were kept.</summary>
    [Fact]
    public void APassEnds_WhereNobodySeesTheRest()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: 4));
        LanguageModel llm = fixture.Model;
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Run(fixture.Record(_prompt, _ => llm.Layers[1].Hidden.Save("hidden")));
        Assert.Equal([4, 4, 0, 0], KnownTokens());
        Run(fixture.Record(_prompt, _ =>
        {
            llm.Layers[1].Hidden.Save("hidden");
            llm.Layers[2].Hidden[.., 0].Save("token");
        }));
        Assert.Equal([4, 4, 4, 0], KnownTokens());

        IEnumerable<int> KnownTokens() =>
            Enumerable.Range(0, 4).Select(cache.Touch("", Array.ConvertAll(_prompt, id => (long)id), 4).TokenCount);

        void Run(Program program)
        {
            using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome());
            using var scheduler = new ModelScheduler(fixture.HookedModel, prefixes: cache);
            scheduler.Add(job);
            while (scheduler.JobCount > 0) scheduler.Step();
            Assert.Null(job.Error);
        }
    }

    private static void Use(Trace t, LanguageModel llm, string use)
    {
        switch (use)
        {
            case "last": llm.Logits[.., ^1].Save("x"); break;
            case "last of the first row": llm.Logits[0, ^1].Save("x"); break;
            case "last as a range": llm.Logits[.., ^1..].Save("x"); break;
            case "argmax of the last": llm.Logits[0, ^1].ArgMax(-1).Save("x"); break;
            case "hidden": llm.Layers[0].Hidden.Save("x"); break;
            case "head, last": llm.LmHead.Output[0, ^1].Save("x"); break;
            case "all": llm.Logits.Save("x"); break;
            case "first": llm.Logits[.., 0].Save("x"); break;
            case "by position": llm.Logits[.., 3].Save("x"); break;
            case "shape": llm.Logits.Shape.Save("x"); break;
            case "result": t.Result.Save("x"); break;
            case "edit": llm.Logits[.., ^1] = 0; break;
            case "head input": llm.LmHead.Input.Save("x"); break;
            case "cache": t.Cache([llm.LmHead]); break;
            case "two last": llm.Logits[.., ^2..].Save("x"); break;
            default:
                llm.Logits[.., ^1].Save("x");
                llm.Logits[.., 0].Save("y");
                break;
        }
    }
}
