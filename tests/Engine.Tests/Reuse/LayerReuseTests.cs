using Ndif.Engine.Compiling;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;
using TorchSharp;

namespace Ndif.Engine.Tests.Reuse;

/// <summary>A trace that takes layers from an earlier pass has the results of one that is computed whole.</summary>
public sealed class LayerReuseTests
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
    public void RandomTraces_OfTheSamePrompts_GiveWhatTheyGiveAlone(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(architecture switch
        {
            "gpt2" => TinyModel.GPT2(layers: Layers),
            "llama" => TinyModel.Llama(layers: Layers),
            _ => TinyConfigs.Of(architecture, 2),
        });
        int layers = fixture.Model.Layers.Count;
        long reused = 0;
        for (int seed = 0; seed < 8; seed++)
        {
            var random = new Random(seed);
            using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
            for (int i = 0; i < 12; i++)
            {
                Program program = RandomProgram(fixture, random, layers);
                JobOutcome alone = fixture.Run(program)[0], again = Run(fixture, program, cache, out long count);
                reused += count;
                OutcomeAssert.Same(alone, again, $"seed {seed}, job {i}");
            }
        }
        Assert.True(reused > 20, $"{reused} layers were reused.");
    }

    [Fact]
    public void ASweepOverLayers_ComputesOnlyTheLayersAfterTheEdit()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.GPT2(layers: Layers));
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
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
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
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
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
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

    [Fact]
    public void OwnersShareNothing_AndOtherPromptsAreComputed()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
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
    public void GradientsAndGenerations_AreComputedWhole()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Llama(layers: Layers));
        using var cache = new LayerOutputCache(1 << 20) { IsShared = true };
        Run(fixture, fixture.Record(_prompt, _ => fixture.Model.Logits.Save("logits")), cache, out _);
        Run(fixture, fixture.Record(_prompt, 3, t => t.Result.Save("ids")), cache, out long reused);
        Assert.Equal(0, reused);
        Run(fixture, fixture.RecordIn(fixture.Model.Trace(_prompt, grad: true), t =>
        {
            Value hidden = fixture.Model.Layers[^1].Hidden;
            t.Backward(fixture.Model.Logits.Sum(), () => hidden.Grad.Save("gradient"));
        }), cache, out reused).AssertCompleted();
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
        using (var cache = new LayerOutputCache(1000))
        {
            using (torch.Tensor output = torch.zeros(5, 10))
                foreach (long id in (long[])[1, 2, 3, 4, 5, 6])
                {
                    cache.BeginPass();
                    LayerOutputCache.Entry entry = cache.Touch("", [id]);
                    cache.Add(entry, output); // 200 bytes
                    cache.Add(entry, output); // more than a quarter of the memory
                    Assert.Single(entry.Outputs);
                    cache.Touch("", [1]);
                    cache.BeginPass();
                    cache.EndPass();
                    Assert.Single(entry.Outputs); // the first pass has not ended
                    cache.EndPass();
                }
            Assert.Single(cache.Touch("", [1]).Outputs);
            Assert.Empty(cache.Touch("", [2]).Outputs);
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
    }

    private static JobOutcome Run(EngineFixture fixture, Program program, LayerOutputCache cache, out long reused, string owner = "")
    {
        var outcome = new JobOutcome();
        using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), outcome) { Owner = owner };
        using var scheduler = new ModelScheduler(fixture.HookedModel, layerOutputs: cache);
        scheduler.Add(job);
        while (scheduler.JobCount > 0) scheduler.Step();
        (outcome.Error, reused) = (job.Error, job.ReusedLayerCount);
        return outcome;
    }

    private static Program RandomProgram(EngineFixture fixture, Random random, int layers)
    {
        LanguageModel llm = fixture.Model;
        int[][] prompts = [_prompt, [9, 8], [1, 2, 3, 4, 5, 6, 7]];
        int layer = random.Next(layers), position = random.Next(2);
        return fixture.RecordIn(llm.Trace(), t =>
        {
            for (int i = random.Next(1, 3); i > 0; i--)
                using (t.Invoke(random.Next(4) == 0 ? (int[][])[prompts[0], prompts[2]] : prompts[random.Next(3)]))
                {
                    Experiment();
                    llm.Logits[.., ^1].Save($"logits {i}");
                }
        });

        void Experiment()
        {
            switch (random.Next(11))
            {
                case 0:
                    llm.Layers[layer].Hidden[.., position] = 0;
                    break;
                case 1:
                    llm.Layers[layer].Hidden = llm.Layers[layer].Hidden * 0.5;
                    break;
                case 2:
                    llm.Layers[layer].Input[.., position] += 1;
                    break;
                case 3:
                    llm.Layers[layer].Mlp.Output *= 2;
                    break;
                case 4:
                    llm.Layers[layer].Skip(llm.Layers[layer].Input);
                    break;
                case 5:
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
                    llm.FinalNorm.Output[.., position] *= 0;
                    break;
                default:
                    break;
            }
        }
    }
}
