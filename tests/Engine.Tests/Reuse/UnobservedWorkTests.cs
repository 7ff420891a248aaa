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
        Assert.Equal(expected, RequiredLogits.AreOfLastTokens(fixture.HookedModel, plan, trace));
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

    /// <summary>The layers that have run are those whose outputs were kept.</summary>
    [Fact]
    public void APassEnds_WhereNobodySeesTheRest()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: 4));
        LanguageModel llm = fixture.Model;
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
        Run(fixture.Record(_prompt, _ => llm.Layers[1].Hidden.Save("hidden")));
        Assert.Equal(2, cache.Touch("", Array.ConvertAll(_prompt, id => (long)id)).Outputs.Count);
        Run(fixture.Record(_prompt, _ =>
        {
            llm.Layers[1].Hidden.Save("hidden");
            llm.Layers[2].Hidden[.., 0].Save("token");
        }));
        Assert.Equal(3, cache.Touch("", Array.ConvertAll(_prompt, id => (long)id)).Outputs.Count);

        void Run(Program program)
        {
            using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome());
            using var scheduler = new ModelScheduler(fixture.HookedModel, layerOutputs: cache);
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
