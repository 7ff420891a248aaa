using Ndif.Engine.Compiling;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;
using TorchSharp;

namespace Ndif.Engine.Tests.Reuse;

/// <summary>A trace that takes layers from an earlier pass has the results of one that is computed whole.</summary>
public sealed class PrefixReuseTests
{
    private const int Layers = 4;

    private static readonly int[] _prompt = [4, 5, 6, 7];

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("Qwen3")]
    [InlineData("gemma2")]
    [InlineData("falcon alibi")]
    [InlineData("bloom")]
    [InlineData("Qwen3Moe")]
    [InlineData("gemma4 moe")]
    public void RandomTraces_OfTheSamePrompts_GiveWhatTheyGiveAlone(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(architecture switch
        {
            "gpt2" => TinyModel.GPT2(layers: Layers),
            "llama" => TinyModel.Llama(layers: Layers),
            _ => TinyConfigs.Of(architecture, 2),
        });
        CompareRandomPrograms(fixture, usesAttention: true, tolerance: 1e-5);
    }

    /// <summary>The order of a sum in the fused kernels is the same however many tokens of a row are computed.</summary>
    [Theory]
    [InlineData("gpt2")]
    [InlineData("LlamaForCausalLM")]
    [InlineData("MistralForCausalLM")]
    [InlineData("Olmo2ForCausalLM")]
    public void RandomTraces_OnFusedKernels_GiveBitwiseWhatTheyGiveAlone(string architecture)
    {
        if (!LinearKernels.IsEnabled) return;
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Fused(architecture, Layers));
        CompareRandomPrograms(fixture, usesAttention: false, tolerance: 0);
    }

    private static void CompareRandomPrograms(EngineFixture fixture, bool usesAttention, double tolerance)
    {
        int layers = fixture.Model.Layers.Count;
        long reusedLayers = 0, reusedTokens = 0;
        for (int seed = 0; seed < 8; seed++)
        {
            var random = new Random(seed);
            using var cache = new PrefixCache(1 << 20) { IsShared = true };
            for (int i = 0; i < 14; i++)
            {
                Program program = RandomProgram(fixture, random, layers, usesAttention);
                JobOutcome alone = fixture.Run(program)[0];
                JobRun job = RunJob(fixture, program, cache, out JobOutcome again);
                (reusedLayers, reusedTokens) = (reusedLayers + job.ReusedLayerCount, reusedTokens + job.ReusedTokenCount);
                OutcomeAssert.Same(alone, again, $"seed {seed}, job {i}", tolerance);
            }
        }
        Assert.True(reusedLayers > 10 && reusedTokens > 20, $"{reusedLayers} layers and {reusedTokens} tokens were reused.");
    }

    [Fact]
    public void ASweepOverLayers_ComputesOnlyTheLayersAfterTheEdit()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: Layers));
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Run(fixture, fixture.Record(_prompt, _ => fixture.Model.Logits.Save("clean")), cache, out long reused);
        Assert.Equal(0, reused);
        for (int layer = 0; layer < Layers; layer++)
        {
            Run(fixture, fixture.Record(_prompt, _ =>
            {
                fixture.Model.Layers[layer].Hidden[.., 1] = 0;
                fixture.Model.Logits.Save("patched");
            }), cache, out reused);
            Assert.Equal(layer + 1, reused);
            Run(fixture, fixture.Record(_prompt, _ => fixture.Model.Layers[layer].Mlp.Output.Save("inside")), cache, out reused);
            Assert.Equal(layer, reused);
        }
    }

    [Fact]
    public void AnEditOfAReusedOutput_DoesNotReachLaterTraces()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Program clean = fixture.Record(_prompt, _ => fixture.Model.Logits.Save("logits")), edited = fixture.Record(_prompt, _ =>
        {
            for (int layer = 0; layer < Layers; layer++) fixture.Model.Layers[layer].Hidden[..] = 0;
            fixture.Model.Logits.Save("logits");
        });
        TensorData expected = Run(fixture, clean, cache, out _).Tensor("logits");
        Run(fixture, edited, cache, out long reused);
        Assert.Equal(1, reused); // each later layer depends on an edit
        TensorAssert.Same(expected, Run(fixture, clean, cache, out reused).Tensor("logits"));
        Assert.Equal(Layers, reused);
    }

    [Fact]
    public void ATraceThatOnlyReadsOutputs_RunsNoLayer()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Program reads = fixture.Record(_prompt, t =>
        {
            for (int layer = 0; layer < Layers; layer++) (fixture.Model.Layers[layer].Hidden * 2).Save($"{layer}");
            fixture.Model.Logits.Save("logits");
        });
        JobOutcome first = Run(fixture, reads, cache, out _), second = Run(fixture, reads, cache, out long reused);
        Assert.Equal(Layers, reused);
        OutcomeAssert.Same(first, second, "reads", 0);
        Run(fixture, fixture.Record(_prompt, t =>
        {
            for (int layer = 0; layer < Layers; layer++) fixture.Model.Layers[layer].Hidden.Save($"{layer}");
            fixture.Model.Layers[2].Hidden[.., 1] = 0;
        }), cache, out reused);
        Assert.Equal(3, reused);
    }

    /// <summary>To look up each of 30,000 rows, and to keep it, took seconds.</summary>
    [Theory]
    [InlineData(1024, Layers)]
    [InlineData(1025, 0)]
    public void APassOfVeryManyRows_IsComputedWhole(int rows, int expected)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new PrefixCache(1 << 24) { IsShared = true };
        Program program = fixture.RecordIn(fixture.Model.Trace(), t =>
        {
            for (int row = 1; row <= rows; row++)
                using (t.Invoke(new int[] { row % 7, 2 }))
                    if (row == rows) fixture.Model.Layers[Layers - 1].Hidden.Save("last");
        });
        Run(fixture, program, cache, out _);
        Run(fixture, program, cache, out long reused);
        Assert.Equal(expected, reused);
    }

    [Fact]
    public void OwnersShareNothing_AndOtherPromptsAreComputed()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Program program = fixture.Record(_prompt, _ => fixture.Model.Logits.Save("logits"));
        Run(fixture, program, cache, out _, owner: "a");
        Run(fixture, program, cache, out long reused, owner: "b");
        Assert.Equal(0, reused);
        Run(fixture, program, cache, out reused, owner: "a");
        Assert.Equal(Layers, reused);
        Run(fixture, fixture.Record((int[])[4, 5, 6], _ => fixture.Model.Logits.Save("logits")), cache, out reused, owner: "a");
        Assert.Equal(0, reused);
    }

    [Fact]
    public void AnEditOfAToken_LeavesTheTokensBeforeIt()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: Layers));
        LanguageModel llm = fixture.Model;
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Run(fixture, fixture.Record(_prompt, _ => llm.Logits.Save("clean")), cache, out _);
        // each edit or read, and the tokens before the first one that it concerns
        (Action Experiment, int Tokens)[] cases =
        [
            (() => llm.Layers[1].Hidden[.., 2] = 0, 2),
            (() => llm.Layers[1].Hidden[.., ^1] += 1, 3),
            (() => llm.Layers[1].Hidden[0, 1..3] = 0, 1),
            (() => llm.Layers[1].Mlp.Output[.., 2, 3..5] = 0, 2),
            (() => llm.Layers[1].Attn.Output[0][.., 3] *= 2, 3),
            (() => llm.Layers[1].Input[.., 1] = 0, 1),
            (() => llm.Layers[2].Mlp.Input[.., ^2].Save("mlp"), 2),
            (() => { llm.Layers[1].Hidden[.., 3] = 0; llm.Layers[3].Hidden.Save("all tokens of a layer"); }, 3),
            (() => { llm.Layers[1].Hidden[.., 3] = 0; llm.Layers[3].Mlp.Output[.., 1].Save("inside"); }, 1),
            (() => llm.Layers[1].Mlp.Input[.., 2] = 0, 0), // the residual stream is the same memory
            (() => llm.Layers[1].Hidden *= 2, 0),
            (() => llm.Layers[1].Hidden = llm.Layers[1].Hidden * 2, 0),
            (() => llm.Layers[1].Mlp.Output.Save("all tokens"), 0),
            (() => llm.Layers[1].Hidden[.., llm.Layers[0].Hidden[0, 0, 0].Long() * 0] = 0, 0),
        ];
        for (int i = 0; i < cases.Length; i++)
        {
            Program program = fixture.Record(_prompt, _ =>
            {
                cases[i].Experiment();
                llm.Logits[.., ^1].Save("logits");
            });
            JobRun job = RunJob(fixture, program, cache, out JobOutcome outcome);
            Assert.True(cases[i].Tokens == job.ReusedTokenCount, $"case {i}: {job.ReusedTokenCount} tokens");
            OutcomeAssert.Same(fixture.Run(program)[0], outcome, $"case {i}");
        }
        Program allLogits = fixture.Record(_prompt, _ =>
        {
            llm.Layers[1].Hidden[.., 2] = 0;
            llm.Logits.Save("logits");
        });
        Assert.Equal(0, RunJob(fixture, allLogits, cache, out _).ReusedTokenCount);
    }

    [Fact]
    public void APromptThatBeginsLikeAnother_ComputesTheRest()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        LanguageModel llm = fixture.Model;
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        int[] first = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], second = [1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 4];
        Program At(int[] prompt) => fixture.Record(prompt, _ =>
        {
            foreach (var layer in llm.Layers) layer.Hidden.Save($"layer {layer.Path}");
            llm.Logits[.., ^1].Save("logits");
        });
        Assert.Equal(0, RunJob(fixture, At(first), cache, out _).ReusedTokenCount);
        JobRun job = RunJob(fixture, At(second), cache, out JobOutcome outcome);
        Assert.Equal((0, 9), (job.ReusedLayerCount, job.ReusedTokenCount));
        OutcomeAssert.Same(fixture.Run(At(second))[0], outcome, "second");
        job = RunJob(fixture, At(second[..8]), cache, out outcome); // the beginning of another prompt
        Assert.Equal((Layers, 7), (job.ReusedLayerCount, job.ReusedTokenCount));
        OutcomeAssert.Same(fixture.Run(At(second[..8]))[0], outcome, "third");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void AGenerationTakesItsPromptFromAnEarlierPass(int beams)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        LanguageModel llm = fixture.Model;
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Program generation = fixture.RecordIn(llm.Generate(_prompt, 4, new() { NumBeams = beams }), t =>
        {
            t.Result.Save("ids");
            foreach (int step in t.Iter[..4]) llm.Layers[2].Hidden[.., ^1] *= 0.9;
            t.Result.Save("ids again");
        });
        JobOutcome alone = fixture.Run(generation)[0];
        Assert.Equal(0, RunJob(fixture, generation, cache, out _).ReusedTokenCount);
        Run(fixture, fixture.Record(_prompt, _ => llm.Logits.Save("logits")), cache, out _);
        JobRun job = RunJob(fixture, generation, cache, out JobOutcome again);
        Assert.Equal((3, 3 * beams), (job.ReusedLayerCount, job.ReusedTokenCount));
        OutcomeAssert.Same(alone, again, "generation");
    }

    [Fact]
    public void Gradients_AreComputedWhole()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new PrefixCache(1 << 20) { IsShared = true };
        Run(fixture, fixture.Record(_prompt, _ => fixture.Model.Logits.Save("logits")), cache, out _);
        Run(fixture, fixture.RecordIn(fixture.Model.Trace(_prompt, grad: true), t =>
        {
            Value hidden = fixture.Model.Layers[^1].Hidden;
            t.Backward(fixture.Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
        }), cache, out long reused).AssertCompleted();
        Assert.Equal(0, reused);
    }

    [Fact]
    public void TheTracesOfASession_ShareTheirLayers()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: Layers));
        Program program;
        using (Session session = fixture.Model.Session())
        {
            using (fixture.Model.Trace(_prompt)) fixture.Model.Logits.Save("first");
            using (fixture.Model.Trace(_prompt)) fixture.Model.Logits.Save("second");
            program = session.ToProgram();
        }
        using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome());
        ProgramEngine.Run(fixture.HookedModel, [job]);
        Assert.Null(job.Error);
        Assert.Equal(Layers, job.ReusedLayerCount);
    }

    [Fact]
    public void TheLeastRecentlyUsedPrompt_IsDropped()
    {
        long before = torch.Tensor.TotalCount;
        using (var cache = new PrefixCache(2000))
        {
            foreach (long id in (long[])[1, 2, 3, 4, 5, 6])
            {
                cache.BeginPass();
                CachedPrompt prompt = cache.Touch("", [id], 3);
                cache.Add(prompt, 0, NewTokens()); // 400 bytes
                cache.Add(prompt, 1, NewTokens()); // more than a quarter of the memory
                Assert.Equal([1, 0, 0], Enumerable.Range(0, 3).Select(prompt.TokenCount));
                cache.Touch("", [1], 3);
                cache.BeginPass();
                cache.EndPass();
                Assert.Equal(1, prompt.TokenCount(0)); // the first pass has not ended
                cache.EndPass();
            }
            Assert.Equal(1, cache.Touch("", [1], 3).TokenCount(0));
            Assert.Equal(0, cache.Touch("", [2], 3).TokenCount(0));
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
    }

    [Fact]
    public void APromptOfTheOwnerThatHasTheMost_IsDropped()
    {
        using var cache = new PrefixCache(2000);
        Add("ana", 1);
        Add("ana", 2);
        for (long id = 1; id <= 20; id++) Add("eve", id);
        Add("bob", 1);
        Assert.Equal([2, 2, 1], [Count("ana"), Count("eve"), Count("bob")]);
        Assert.Equal(1, cache.Touch("eve", [20], 1).TokenCount(0));

        void Add(string owner, long id)
        {
            cache.BeginPass();
            cache.Add(cache.Touch(owner, [id], 1), 0, NewTokens()); // 400 bytes
            cache.EndPass();
        }

        int Count(string owner) => Enumerable.Range(1, 20).Sum(id => cache.Touch(owner, [id], 1).TokenCount(0));
    }

    [Fact]
    public void ManyShortPromptsOfAnOwner_DropNoneOfAnother()
    {
        using var cache = new PrefixCache(1 << 20);
        cache.BeginPass();
        cache.Add(cache.Touch("ana", [1], 1), 0, NewTokens());
        for (long id = 0; id < 20_000; id++) cache.Touch("eve", [id], 1);
        cache.EndPass();
        Assert.Equal(1, cache.Touch("ana", [1], 1).TokenCount(0));
    }

    private static CachedTokens NewTokens()
    {
        using var scope = torch.NewDisposeScope();
        return new(torch.zeros(1, 20).DetachFromDisposeScope(), torch.zeros(2, 1, 20).DetachFromDisposeScope(),
            torch.zeros(2, 1, 20).DetachFromDisposeScope());
    }

    [Fact]
    public void APromptIsFoundByItsFirstTokens_UntilItIsDropped()
    {
        long[] ids = [.. Enumerable.Range(0, 30).Select(id => (long)id)];
        using var cache = new PrefixCache(1 << 20);
        CachedPrompt prompt = cache.Touch("a", ids, 1);
        Assert.Null(cache.FindLongestPrefix("a", ids));
        cache.Add(prompt, 0, new(torch.zeros(30, 2).DetachFromDisposeScope(), torch.zeros(1, 30, 2).DetachFromDisposeScope(),
            torch.zeros(1, 30, 2).DetachFromDisposeScope()));
        Assert.Same(prompt, cache.FindLongestPrefix("a", ids));
        Assert.Same(prompt, cache.FindLongestPrefix("a", [.. ids, 31, 32]));
        Assert.Same(prompt, cache.FindLongestPrefix("a", [.. ids[..8], 50, 51]));
        Assert.Equal(8, prompt.CommonPrefixLength([.. ids[..8], 50, 51]));
        Assert.Null(cache.FindLongestPrefix("a", [.. ids[..7], 50, 51]));
        Assert.Null(cache.FindLongestPrefix("b", ids));
    }

    private static JobOutcome Run(EngineFixture fixture, Program program, PrefixCache cache, out long reused, string owner = "")
    {
        reused = RunJob(fixture, program, cache, out JobOutcome outcome, owner).ReusedLayerCount;
        return outcome;
    }

    private static JobRun RunJob(EngineFixture fixture, Program program, PrefixCache cache, out JobOutcome outcome, string owner = "")
    {
        outcome = new JobOutcome();
        using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), outcome) { Owner = owner };
        using var scheduler = new ModelScheduler(fixture.HookedModel, prefixes: cache);
        scheduler.Add(job);
        while (scheduler.JobCount > 0) scheduler.Step();
        outcome.Error = job.Error;
        return job;
    }

    private static Program RandomProgram(EngineFixture fixture, Random random, int layers, bool usesAttention)
    {
        LanguageModel llm = fixture.Model;
        int[] longer = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        int[][] prompts = [_prompt, [9, 8], [1, 2, 3, 4, 5, 6, 7], longer, [.. longer, 3, 4], [.. longer[..8], 11, 12, 13]];
        int layer = random.Next(layers), later = random.Next(layer, layers), position = random.Next(4) - 2;
        Idx token = position < 0 ? ^-position : position;
        bool generates = random.Next(4) == 0, readsAllLogits = random.Next(4) == 0;
        return fixture.RecordIn(generates ? llm.Generate(null, 3) : llm.Trace(), t =>
        {
            for (int i = random.Next(1, 3); i > 0; i--)
                using (t.Invoke(random.Next(4) == 0 ? (int[][])[prompts[0], prompts[2]] : prompts[random.Next(prompts.Length)]))
                {
                    Experiment();
                    if (readsAllLogits) llm.Logits.Save($"logits {i}");
                    else llm.Logits[.., ^1].Save($"logits {i}");
                    if (generates) t.Result.Save($"ids {i}");
                }
        });

        void Experiment()
        {
            switch (random.Next(17))
            {
                case 0:
                    llm.Layers[layer].Hidden[.., token] = 0;
                    break;
                case 1:
                    llm.Layers[layer].Hidden = llm.Layers[layer].Hidden * 0.5;
                    break;
                case 2:
                    llm.Layers[layer].Input[.., token] += 1;
                    llm.Layers[later].Hidden.Save($"later {random.Next()}");
                    break;
                case 3:
                    llm.Layers[layer].Mlp.Output *= 2;
                    break;
                case 4:
                    llm.Layers[layer].Skip(llm.Layers[layer].Input);
                    break;
                case 5 when usesAttention:
                    llm.Layers[layer].Attn.Output[0].Save($"attention {random.Next()}");
                    break;
                case 6:
                    foreach (var each in llm.Layers) each.Hidden.Save($"hidden {random.Next()}");
                    break;
                case 7:
                    Value early = llm.Layers[layer].Hidden; // edited in place where later layers have run
                    llm.Layers[layers - 1].Hidden.Save($"last {random.Next()}");
                    early[.., 0] = 3;
                    break;
                case 8:
                    llm.Embed.Output *= 0.9;
                    break;
                case 9:
                    llm.FinalNorm.Output[.., token] *= 0;
                    break;
                case 10:
                    llm.Layers[layer].Hidden[.., token] *= 2;
                    llm.Layers[later].Mlp.Output[.., token] += 1;
                    llm.Layers[later].Hidden[.., ^1].Save($"later {random.Next()}");
                    break;
                case 11 when usesAttention:
                    llm.Layers[layer].Attn.Output[0][.., token] = 0;
                    break;
                case 12:
                    Value input = llm.Layers[layer].Input; // edited in place inside of the layer
                    llm.Layers[layer].Mlp.Output[.., ^1].Save($"inside {random.Next()}");
                    input[.., ^1] = 3;
                    break;
                case 13:
                    Value output = llm.Layers[layer].Hidden; // has the edit of the next layer's input, which is the same memory
                    if (layer + 1 < layers) llm.Layers[layer + 1].Input[.., ^1] = 3;
                    output.Save($"output {random.Next()}");
                    break;
                case 14:
                    llm.Layers[layer].Mlp.Input[.., ^1] = 0;
                    llm.Layers[later].Input[.., ^1].Save($"input {random.Next()}");
                    break;
                default:
                    break;
            }
        }
    }
}
