using Ndif.Engine.Compiling;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Engine.Scheduling;
using Ndif.Engine.Tests.Support;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;
using TorchSharp;

namespace Ndif.Engine.Tests.Batching;

/// <summary>Jobs that join others between two passes, and leave them, have the results that they have alone.</summary>
public sealed class ContinuousBatchingTests
{
    private const int Seeds = 6, JobsOfASeed = 9;

    private static readonly int[] _prompt = [4, 5];

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama")]
    [InlineData("Qwen3")]
    [InlineData("Olmo2")]
    [InlineData("Qwen3Moe")]
    [InlineData("StableLm")]
    [InlineData("falcon alibi")]
    [InlineData("phi3 longrope")]
    [InlineData("GptOss")]
    [InlineData("llama4")]
    [InlineData("gemma3n")]
    [InlineData("gemma4")]
    [InlineData("gemma4 moe")]
    [InlineData("deepseek_v3")]
    [InlineData("mistral4")]
    [InlineData("gpt_bigcode")]
    [InlineData("codegen")]
    [InlineData("mpt")]
    [InlineData("xglm")]
    [InlineData("biogpt")]
    [InlineData("falcon_h1")]
    [InlineData("jamba")]
    [InlineData("qwen3_next")]
    [InlineData("mamba", false)]
    [InlineData("mamba2", false)]
    [InlineData("nemotron_h", false)]
    [InlineData("lfm2", false)]
    [InlineData("recurrent_gemma", false)]
    [InlineData("rwkv rescaled", false)]
    [InlineData("t5")]
    [InlineData("t5 gated")]
    [InlineData("bart")]
    public void RandomJobs_ThatJoinAtRandomSteps_GiveWhatTheyGiveAlone(string architecture, bool hasAttention = true)
    {
        using EngineFixture fixture = architecture switch
        {
            "gpt2" => EngineFixture.GPT2(),
            "llama" => EngineFixture.Llama(),
            _ => EngineFixture.Of(TinyConfigs.Of(architecture, 2)),
        };
        for (int seed = 0; seed < Seeds; seed++)
        {
            var random = new Random(seed);
            Program[] programs = [.. Enumerable.Range(0, JobsOfASeed).Select(_ => RandomProgram(fixture, random, hasAttention))];
            JobOutcome[] alone = [.. programs.Select(program => fixture.Run(program)[0])], joined = RunJoining(fixture, programs, random);
            for (int job = 0; job < programs.Length; job++) OutcomeAssert.Same(alone[job], joined[job], $"seed {seed}, job {job}");
        }
    }

    /// <summary>
    /// The order of a sum in the fused kernels depends on nothing outside of the row. Programs that need the eager attention are left out,
    /// because the whole pass then takes libtorch's products.
    /// </summary>
    [Theory]
    [InlineData("gpt2")]
    [InlineData("LlamaForCausalLM")]
    [InlineData("Qwen3ForCausalLM")]
    [InlineData("MistralForCausalLM")]
    [InlineData("Olmo2ForCausalLM")]
    [InlineData("GemmaForCausalLM")]
    public void RandomJobs_OnFusedKernels_GiveBitwiseWhatTheyGiveAlone(string architecture)
    {
        if (!LinearKernels.IsEnabled) return;
        using EngineFixture fixture = EngineFixture.Of(TinyModel.Fused(architecture));
        for (int seed = 0; seed < 2 * Seeds; seed++)
        {
            var random = new Random(seed);
            Program[] programs = [.. Enumerable.Range(0, JobsOfASeed).Select(_ => RandomProgram(fixture, random, hasAttention: false))];
            JobOutcome[] alone = [.. programs.Select(program => fixture.Run(program)[0])], joined = RunJoining(fixture, programs, random);
            for (int job = 0; job < programs.Length; job++) OutcomeAssert.Same(alone[job], joined[job], $"seed {seed}, job {job}", 0);
        }
    }

    [Fact]
    public void AShortTrace_DoesNotWaitForAGenerationThatRuns()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        using var generation = new JobRun(Compiler.Compile(Generate(fixture, [1, 2, 3], 30, _ => { }), fixture.HookedModel),
            new JobOutcome());
        using var trace = new JobRun(Compiler.Compile(fixture.Record(_prompt, _ => fixture.Model.Logits.Save("logits")),
            fixture.HookedModel), new JobOutcome());
        using var scheduler = new ModelScheduler(fixture.HookedModel);
        List<string> ended = [];
        scheduler.Add(generation, () => ended.Add("generation"));
        for (int step = 0; step < 5; step++) scheduler.Step();
        scheduler.Add(trace, () => ended.Add("trace"));
        scheduler.Step();
        Assert.Equal(["trace"], ended);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(["trace", "generation"], ended);
        Assert.Equal(30, generation.ForwardPassCount);
    }

    /// <summary>Prompts of one token that generate 3, 6 and 9: each row is in 2, 5 and 8 steps after the pass over the prompts.</summary>
    [Theory]
    [InlineData("result", 3 + 2 + 5 + 8)]
    [InlineData("sites", 3 + 2 + 5 + 8)]
    [InlineData("edit", 3 + 2 + 5 + 8)]
    [InlineData("observed by all rows", 3 + 8 + 8 + 8)]
    [InlineData("persistent edit", 3 + 2 + 5 + 8)]
    [InlineData("persistent edit of observed rows", 3 + 8 + 8 + 8)]
    [InlineData("collected", 3 + 8 + 8 + 8)]
    [InlineData("stopped", 3 + 1 + 5 + 8)]
    [InlineData("stopped, result of all", 3 + 2 + 5 + 8)]
    public void RowsThatHaveEnded_LeaveTheBatch_UnlessTheyAreObserved(string kind, long expectedTokens)
    {
        using EngineFixture fixture = EngineFixture.Llama();
        LanguageModel plain = fixture.Model, edited = plain.Edit(() => plain.Layers[0].Mlp.Output = plain.Layers[0].Mlp.Output * 0.5f);
        LanguageModel llm = kind.StartsWith("persistent edit", StringComparison.Ordinal) ? edited : plain;
        Program program = fixture.RecordIn(llm.Generate(maxNewTokens: 9, options: new() { IgnoreEos = true }), t =>
        {
            for (int i = 0; i < 3; i++)
                using (t.Invoke((int[])[7 + i], new GenerationOptions { MaxNewTokens = 3 * (i + 1) }))
                {
                    if (kind == "sites") foreach (int step in t.Iter[..]) llm.Layers[1].Hidden.Save($"hidden {i} {step}");
                    if (kind == "edit") foreach (int step in t.Iter[..]) llm.Layers[0].Hidden[.., ^1] *= 1 + i;
                    if (i == 0 && kind.StartsWith("stopped", StringComparison.Ordinal))
                    {
                        foreach (int step in t.Iter[1..2]) llm.Logits.Save("second");
                        t.Stop();
                    }
                    t.Result.Save($"{i}");
                }
            if (kind == "stopped, result of all") t.Result.Save("all");
            if (kind.Contains("observed", StringComparison.Ordinal))
                using (t.Invoke())
                {
                    ValueList all = t.List();
                    all.Save("all");
                    foreach (int step in t.Iter[..]) all.Append(llm.Logits.Shape);
                }
            if (kind == "collected") t.Cache([llm.Layers[1]]);
        });
        JobOutcome outcome = fixture.Run(program)[0].AssertCompleted();
        Assert.Equal(expectedTokens, outcome.Tokens);
        for (int i = kind.StartsWith("stopped", StringComparison.Ordinal) ? 1 : 0; i < 3; i++)
        {
            Program single = fixture.RecordIn(llm.Generate((int[])[7 + i], 3 * (i + 1), new() { IgnoreEos = true }), t =>
            {
                if (kind == "edit") foreach (int step in t.Iter[..]) llm.Layers[0].Hidden[.., ^1] *= 1 + i;
                t.Result.Save("ids");
            });
            TensorAssert.Same(fixture.Run(single)[0].Tensor("ids"), outcome.Tensor($"{i}"));
        }
    }

    /// <summary>A trace whose invokes are done may still collect activations, which a stop of another must not end.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AStopOrAnErrorOfAnother_EndsNoGenerationThatCollects(bool stops)
    {
        using EngineFixture fixture = EngineFixture.Llama();
        LanguageModel llm = fixture.Model;
        Program collects = Generate(fixture, _prompt, 6, t => t.Cache([llm.Layers[1]])), ends = Generate(fixture, [7], 6, t =>
        {
            foreach (int step in t.Iter[2..3])
                if (stops) t.Stop();
                else llm.Logits[.., 5].Save("out of range");
        });
        JobOutcome alone = fixture.Run(collects)[0];
        OutcomeAssert.Same(alone, fixture.Run(collects, ends)[0], "collects first");
        OutcomeAssert.Same(alone, fixture.Run(ends, collects)[1], "collects second");
    }

    [Fact]
    public void AJobThatIsCancelled_LeavesTheOthers()
    {
        using EngineFixture fixture = EngineFixture.Llama();
        Program program = Generate(fixture, [1, 2, 3], 12, t => t.Result.Save("ids"));
        TensorData expected = fixture.Run(program)[0].AssertCompleted().Tensor("ids");
        using var cancel = new CancellationTokenSource();
        var outcome = new JobOutcome();
        using var stays = new JobRun(Compiler.Compile(program, fixture.HookedModel), outcome);
        using var leaves = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome(), cancellationToken: cancel.Token);
        using var scheduler = new ModelScheduler(fixture.HookedModel);
        scheduler.Add(leaves);
        scheduler.Step();
        scheduler.Add(stays);
        for (int step = 0; step < 3; step++) scheduler.Step();
        cancel.Cancel();
        scheduler.Step();
        Assert.Equal(1, scheduler.JobCount);
        while (scheduler.JobCount > 0) scheduler.Step();
        Assert.Equal(ErrorCode.JobCancelled, leaves.Error!.Code);
        TensorAssert.Same(expected, outcome.Tensor("ids"));
    }

    /// <summary>Adds the jobs before the first step, at random later ones, and in the middle of passes, which they then preempt.</summary>
    private static JobOutcome[] RunJoining(EngineFixture fixture, Program[] programs, Random random)
    {
        long before = torch.Tensor.TotalCount;
        JobOutcome[] outcomes = [.. programs.Select(_ => new JobOutcome())];
        JobRun[] runs = [.. programs.Select((program, i) => new JobRun(Compiler.Compile(program, fixture.HookedModel), outcomes[i]))];
        var next = new Queue<JobRun>(runs);
        Action onPreemptionPoint = () => { };
        using (var prefixes = new PrefixCache(1 << 16) { IsShared = true })
        using (ModelScheduler scheduler = new(fixture.HookedModel, long.MaxValue, () => onPreemptionPoint.Invoke(), prefixes)
        {
            MinTimeSlice = default,
        })
        {
            onPreemptionPoint = () =>
            {
                if (next.Count > 0 && random.Next(10) == 0) scheduler.Add(next.Dequeue());
            };
            while (next.Count > 0 || scheduler.JobCount > 0)
            {
                while (next.Count > 0 && (scheduler.JobCount == 0 || random.Next(3) == 0)) scheduler.Add(next.Dequeue());
                scheduler.Step();
            }
        }
        for (int i = 0; i < runs.Length; i++)
        {
            outcomes[i].Error = runs[i].Error;
            runs[i].Dispose();
        }
        Assert.InRange(torch.Tensor.TotalCount, 0, before);
        return outcomes;
    }

    private static Program Generate(EngineFixture fixture, int[] prompt, int steps, Action<Trace> experiment) =>
        fixture.RecordIn(fixture.Model.Generate(prompt, steps, new() { IgnoreEos = true }), experiment);

    private static Program RandomProgram(EngineFixture fixture, Random random, bool hasAttention = true)
    {
        LanguageModel llm = fixture.Model;
        int[] prompt = Prompt();
        int steps = random.Next(2, 12);
        switch (random.Next(12))
        {
            case 0: // steer each step
                return Generate(fixture, prompt, steps, t =>
                {
                    foreach (int step in t.Iter[..]) llm.Layers[0].Hidden[.., ^1] += 0.5;
                    t.Result.Save("ids");
                });
            case 1: // the logits of each step
                return Generate(fixture, prompt, steps, t =>
                {
                    ValueList logits = t.List();
                    logits.Save("logits");
                    foreach (int step in t.Iter[..]) logits.Append(llm.Logits[.., ^1]);
                });
            case 2: // attention probabilities of each step
                return Generate(fixture, prompt, steps, t =>
                {
                    ValueList probabilities = t.List();
                    probabilities.Save("probabilities");
                    foreach (int step in t.Iter[..])
                        probabilities.Append(hasAttention ? llm.Layers[1].Attn.Source["probs"].Output : llm.Layers[1].Hidden);
                });
            case 3: // cache a layer; a state-space layer has the padding mask among its inputs only if the pass has padding
                return Generate(fixture, prompt, steps, t => t.Cache([llm.Layers[1]], inputs: hasAttention));
            case 4: // sample
                return fixture.RecordIn(llm.Generate(prompt, steps, new() { DoSample = true, Seed = random.Next(), Temperature = 1.3 }),
                    t => t.Result.Save("ids"));
            case 5: // beams
                return fixture.RecordIn(llm.Generate(prompt, steps, new() { NumBeams = 3 }), t => t.Result.Save("ids"));
            case 6: // a forward pass with an edit
                return fixture.Record(prompt, _ =>
                {
                    if (hasAttention) llm.Layers[0].Mlp.Output = llm.Layers[0].Mlp.Output * 0;
                    else llm.Layers[0].Hidden *= 0.5;
                    llm.Logits.Save("logits");
                });
            case 7: // skip a layer at each step
                return Generate(fixture, prompt, steps, t =>
                {
                    foreach (int step in t.Iter[..]) llm.Layers[1].Skip(llm.Layers[0].Output);
                    t.Result.Save("ids");
                });
            case 8: // two prompts, one of which stops after a step
                return fixture.RecordIn(llm.Generate(maxNewTokens: steps, options: new() { IgnoreEos = true }), t =>
                {
                    using (t.Invoke(prompt))
                    {
                        llm.Logits[.., ^1].Save("first");
                        t.Stop();
                    }
                    using (t.Invoke(Prompt())) t.Result.Save("ids");
                });
            case 9: // an error in the middle
                return Generate(fixture, prompt, steps, t =>
                {
                    foreach (int step in t.Iter[..]) (llm.Layers[0].Hidden[.., step] * 1).Sum().Save($"sum {step}");
                });
            case 10: // a gradient
                return fixture.RecordIn(llm.Trace(prompt, grad: true), t =>
                {
                    Value hidden = llm.Layers[0].Hidden;
                    t.Backward(llm.Logits.Sum(), () => hidden.Grad.Save("gradient"));
                });
            default: // a session: a generation, whose tokens are the next prompt
                using (Session session = llm.Session())
                {
                    Saved ids;
                    using (Trace t = llm.Generate(prompt, steps, new() { IgnoreEos = true })) ids = t.Result.Save("ids");
                    using (llm.Trace(ids)) llm.Logits[.., ^1].Save("next");
                    return session.ToProgram();
                }
        }

        int[] Prompt() => random.Next(3) == 0 ? _prompt
            : [.. Enumerable.Range(0, random.Next(1, 9)).Select(_ => random.Next(TinyModel.VocabSize))];
    }
}
