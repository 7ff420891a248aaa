using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;

namespace Ndif.Engine.Tests.Interleaving;

/// <summary>Each expert is a site of its own, which has the tokens of the invoke that are routed to it.</summary>
public sealed class ExpertTests
{
    private static readonly int[] _prompt = [3, 1, 4, 1, 5, 9, 2, 6], _other = [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4], _short = [6, 6],
        _one = [3];
    private static readonly int[][] _ragged = [[5, 6, 7, 11, 13], [8, 9, 2]];

    /// <summary>The architectures with experts, by the name of their config.</summary>
    public static TheoryData<string> Architectures =>
    [
        "Mixtral", "Qwen2Moe", "Qwen3Moe", "Olmoe", "Phimoe", "MiniMaxM2", "GptOss", "GraniteMoe", "GraniteMoeShared", "Ernie4_5_Moe",
        "HunYuanMoEV1", "ExaoneMoe", "Glm4Moe", "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "mistral4", "llama4", "jamba", "lfm2_moe",
        "nemotron_h", "qwen3_next", "qwen3_5_moe", "granitemoehybrid", "gemma4 moe",
    ];

    [Fact]
    public void EveryArchitectureWithExperts_IsTestedHere()
    {
        string[] tested = [.. Architectures.Select(row => row.Data).Select(name => ClassOf(TinyConfigs.Of(name, 2))).Order()];
        string[] all = [.. TinyConfigs.Names.Select(name => TinyConfigs.Of(name, 2)).Where(HasExperts).DistinctBy(ClassOf).Select(ClassOf)
            .Where(name => !name.EndsWith("ForConditionalGeneration", StringComparison.Ordinal)).Order()];
        Assert.Equal([], all.Except(tested));

        static bool HasExperts(string config)
        {
            using EngineFixture fixture = EngineFixture.Of(config);
            return fixture.Any.Modules(module => module.Name == "experts").Any();
        }

        static string ClassOf(string config)
        {
            using var parsed = System.Text.Json.JsonDocument.Parse(config);
            return parsed.RootElement.GetProperty("architectures")[0].GetString()!;
        }
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void TheExperts_HaveTheirTokens_AndGiveWhatTheyGiveTogether(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 3);
        Envoy[] layers = MixturesOf(fixture);
        JobOutcome together = fixture.Run(_prompt, _ => fixture.Model.Logits.Save("logits")).AssertCompleted();
        JobOutcome oneByOne = fixture.Run(_prompt, _ =>
        {
            for (int layer = 0; layer < layers.Length; layer++)
            {
                for (int expert = 0; expert < layers[layer].Count; expert++)
                {
                    layers[layer][expert].Tokens.Save($"tokens {layer} {expert}");
                    Value input = layers[layer][expert].Input;
                    input.Save($"input {layer} {expert}");
                    Value output = layers[layer][expert].Output;
                    output.Save($"output {layer} {expert}");
                    layers[layer][expert].Call(input).Save($"call {layer} {expert}");
                }
            }
            fixture.Model.Logits.Save("logits");
        }).AssertCompleted();
        TensorAssert.Equal(together.Tensor("logits"), oneByOne.Tensor("logits"));
        for (int layer = 0; layer < layers.Length; layer++)
        {
            long[][] tokens = [.. Enumerable.Range(0, layers[layer].Count)
                .Select(expert => oneByOne.Tensor($"tokens {layer} {expert}").ToArray<long>())];
            int[] counts = [.. Enumerable.Range(0, _prompt.Length).Select(token => tokens.Count(own => own.Contains(token)))];
            Assert.All(counts, count => Assert.Equal(counts[0], count)); // each token has as many experts as any other
            Assert.InRange(counts[0], 1, layers[layer].Count);
            for (int expert = 0; expert < tokens.Length; expert++)
            {
                Assert.Equal(tokens[expert].Order(), tokens[expert]);
                Assert.Equal(tokens[expert].Length, oneByOne.Tensor($"input {layer} {expert}").Shape[0]);
                TensorAssert.Equal(oneByOne.Tensor($"output {layer} {expert}"), oneByOne.Tensor($"call {layer} {expert}"));
            }
        }
    }

    /// <summary>Reads, edits, replacements and skips, of one row and of rows with their own padding, alone and with others.</summary>
    [Theory]
    [MemberData(nameof(Architectures))]
    public void RandomInterventions_GiveBatchedWhatTheyGiveAlone(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 7);
        object[] prompts = [_prompt, _ragged, _short];
        for (int seed = 0; seed < 4; seed++)
        {
            var random = new Random(seed);
            foreach (object prompt in prompts)
            {
                int own = random.Next();
                Program program = fixture.Record(prompt, _ => Intervene(fixture, new Random(own)));
                JobOutcome alone = fixture.Run(program)[0].AssertCompleted();
                int stranger = random.Next();
                JobOutcome[] jobs = fixture.Run(
                    fixture.Record(_other, _ => Intervene(fixture, new Random(stranger))), program,
                    fixture.Record(_short, _ => fixture.Model.Logits.Save("logits")));
                OutcomeAssert.Same(alone, jobs[1], $"{architecture}, seed {seed}, jobs");
                JobOutcome invokes = fixture.Run(fixture.Record(null, t =>
                {
                    using (t.Invoke(_other)) MixturesOf(fixture)[0][0].Output *= 2;
                    using (t.Invoke(prompt)) Intervene(fixture, new Random(own));
                }))[0];
                OutcomeAssert.Same(alone, invokes, $"{architecture}, seed {seed}, invokes");
            }
        }
    }

    [Theory]
    [InlineData("Mixtral")]
    [InlineData("GptOss")]
    [InlineData("llama4")]
    [InlineData("GraniteMoe")]
    public void StepsOfAGeneration_HaveOneTokenOrNone(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 5);
        Program Generation(int[] prompt) => fixture.Record(prompt, 4, t =>
        {
            Envoy experts = MixturesOf(fixture)[^1];
            ValueList counts = t.List(), outputs = t.List();
            foreach (int _ in t.Iter[..4])
            {
                foreach (Envoy expert in experts)
                {
                    expert.Output *= 1.5;
                    counts.Append(expert.Tokens);
                    outputs.Append(expert.Output);
                }
            }
            counts.Save("tokens");
            outputs.Save("outputs");
        });
        JobOutcome alone = fixture.Run(Generation(_prompt))[0].AssertCompleted();
        OutcomeAssert.Same(alone, fixture.Run(Generation(_other), Generation(_prompt), Generation(_short))[1], architecture);
        int experts = MixturesOf(fixture)[^1].Count;
        TensorData[] tokens = alone.Tensors("tokens");
        Assert.Equal(4 * experts, tokens.Length);
        Assert.All(tokens[experts..], step => Assert.InRange(step.Shape[0], 0, 1));
        Assert.Contains(tokens[experts..], step => step.Shape[0] == 0);
    }

    [Theory]
    [InlineData("Mixtral")]
    [InlineData("GptOss")]
    [InlineData("llama4")]
    [InlineData("GraniteMoe")]
    public void GradientsOfExperts_Batched_AreThoseAlone(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 5);
        Envoy experts = MixturesOf(fixture)[0];
        JobOutcome alone = Run(t =>
        {
            using (t.Invoke(_ragged)) Backward(t);
        }), both = Run(t =>
        {
            using (t.Invoke(_other)) fixture.Model.Logits.Save("other");
            using (t.Invoke(_ragged)) Backward(t);
        });
        string[] names = [.. alone.Names.Where(name => name.Contains("put", StringComparison.Ordinal))];
        Assert.Equal(2 * experts.Count, names.Length);
        foreach (string name in names) TensorAssert.Equal(alone.Tensor(name), both.Tensor(name));
        Assert.Contains(names.SelectMany(name => alone.Tensor(name).ToArray<float>()), g => Math.Abs(g) > 1e-6);

        JobOutcome Run(Action<Trace> experiment)
        {
            using Trace trace = fixture.Model.Trace(grad: true);
            experiment(trace);
            return fixture.Run(trace.ToProgram())[0].AssertCompleted();
        }

        void Backward(Trace t)
        {
            (Value Input, Value Output)[] values = [.. experts.Select(expert => (expert.Input, expert.Output))];
            t.Backward(fixture.Model.Logits[.., ^1].Square().Sum(), () =>
            {
                for (int expert = values.Length - 1; expert >= 0; expert--)
                {
                    values[expert].Output.Grad.Save($"output {expert}");
                    values[expert].Input.Grad.Save($"input {expert}");
                }
            });
        }
    }

    [Fact]
    public void AnExpertWithoutTokens_HasZeroRows()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2), 5);
        JobOutcome outcome = fixture.Run(_one, _ =>
        {
            foreach (Envoy expert in MixturesOf(fixture)[0])
            {
                expert.Output.Save($"output {expert.Name}");
                expert.Output = expert.Output * 2;
            }
        }).AssertCompleted();
        Assert.Contains(outcome.Names, name => outcome.Tensor(name).Shape is [0, 16]);
    }

    [Theory]
    [InlineData("Mixtral")]
    [InlineData("GptOss")]
    [InlineData("llama4")]
    [InlineData("GraniteMoe")]
    public async Task AScan_ShowsAllTokensOfTheInvoke(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 5);
        using Trace t = fixture.Model.Scan(_prompt);
        Envoy expert = MixturesOf(fixture)[0][1];
        Saved input = expert.Input.Shape.Save(), tokens = expert.Tokens.Shape.Save(), output = expert.Output.Shape.Save();
        await t.RunAsync(TestContext.Current.CancellationToken);
        Assert.Equal("[8, 16] [8] [8, 16]", $"{input} {tokens} {output}");
    }

    [Fact]
    public void OperationsInsideOfAnExpert_HaveTheTokensOfTheInvoke()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2), 5);
        Program Program(object prompt) => fixture.Record(prompt, _ =>
        {
            Envoy expert = MixturesOf(fixture)[0][0];
            expert.Source["mul_0"].Output *= 3;
            expert.Source["mul_0"].Output.Save("intermediate");
            expert.Output.Save("output");
            fixture.Model.Logits[.., ^1].Save("logits");
        });
        JobOutcome alone = fixture.Run(Program(_ragged))[0].AssertCompleted();
        OutcomeAssert.Same(alone, fixture.Run(Program(_other), Program(_ragged))[1], "jobs");
        Assert.Equal(alone.Tensor("output").Shape[0], alone.Tensor("intermediate").Shape[0]);
    }

    [Fact]
    public void WhatIsComputedOnceForAllExperts_CannotBeUsedWithOne()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2), 5);
        Envoy experts = MixturesOf(fixture)[0];
        foreach (Action use in (Action[])[() => experts["act_fn"].Output.Save(), () => experts.Source["mul_0"].Output.Save()])
        {
            Program program = fixture.Record(_prompt, _ =>
            {
                experts[1].Output.Save("one");
                use();
            });
            Error error = Assert.ThrowsAny<NdifException>(() => fixture.Run(program)).Error;
            Assert.Equal(ErrorCode.InvalidProgram, error.Code);
            Assert.Contains("the experts run one by one", error.Message, StringComparison.Ordinal);
        }
        // strangers do not notice each other
        Program fused = fixture.Record(_short, _ => experts.Source["sum_0"].Output.Save("sum"));
        Program one = fixture.Record(_prompt, _ => experts[1].Output.Save("one"));
        JobOutcome[] jobs = fixture.Run(fused, one);
        OutcomeAssert.Same(fixture.Run(fused)[0].AssertCompleted(), jobs[0], "fused");
        OutcomeAssert.Same(fixture.Run(one)[0].AssertCompleted(), jobs[1], "one");
    }

    [Fact]
    public void TheTokens_CannotBeReplaced()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2), 5);
        Envoy expert = MixturesOf(fixture)[0][0];
        JobOutcome edited = fixture.Run(_prompt, _ =>
        {
            Value tokens = expert.Tokens;
            tokens[0] = 7;
        });
        Assert.Contains("they can be read, not replaced", edited.AssertFailed(ErrorCode.BadArgument).Message, StringComparison.Ordinal);
        using Trace t = fixture.Model.Trace(_prompt);
        NdifException error = Assert.ThrowsAny<NdifException>(() => fixture.Model.LmHead.Tokens);
        Assert.Equal(ErrorCode.Unsupported, error.Error.Code);
    }

    [Fact]
    public void ACacheOfAllModules_LeavesTheExpertsOut_AndOneOfExpertsHasThem()
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2), 5);
        JobOutcome outcome = fixture.Run(_prompt, t =>
        {
            t.Cache();
        }).AssertCompleted();
        Assert.DoesNotContain(outcome[outcome.Names.Single()].Map.Entries,
            entry => entry.Key.EndsWith("experts.0", StringComparison.Ordinal));
        JobOutcome chosen = fixture.Run(_prompt, t => t.Cache(modules: MixturesOf(fixture)[0])).AssertCompleted();
        Assert.Equal(MixturesOf(fixture)[0].Count, chosen[chosen.Names.Single()].Map.Entries.Count);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void TheRoutingOfEachLayer_IsCached_AndSaysWhichTokensAnExpertHas(string architecture)
    {
        using EngineFixture fixture = EngineFixture.Of(TinyConfigs.Of(architecture, 2), 5);
        Program Program(object prompt) => fixture.Record(prompt, t =>
        {
            t.Cache(output: false, routing: true);
            foreach (Envoy experts in MixturesOf(fixture)) experts[1].Tokens.Save($"tokens {experts.Path}");
        });
        JobOutcome alone = fixture.Run(Program(_prompt))[0].AssertCompleted();
        OutcomeAssert.Same(alone, fixture.Run(Program(_other), Program(_prompt))[1], "batched");
        var entries = alone[alone.Names.Single(name => name[0] == '%')].Map.Entries;
        Envoy[] layers = MixturesOf(fixture);
        Assert.Equal(layers.Length, entries.Count);
        foreach (var (entry, experts) in entries.Zip(layers))
        {
            Data routing = entry.Value.List.Items.Single().Map.Entries.Single().Value;
            TensorData indices = TensorData.FromProto(routing.List.Items[0].Tensor);
            TensorData weights = TensorData.FromProto(routing.List.Items[1].Tensor);
            Assert.Equal(_prompt.Length, indices.Shape[0]);
            Assert.Equal(indices.Shape.ToArray(), weights.Shape.ToArray());
            long[] tokens = [.. Enumerable.Range(0, _prompt.Length).Where(token => indices[token].ToArray<long>().Contains(1))
                .Select(token => (long)token)];
            Assert.Equal(tokens, alone.Tensor($"tokens {experts.Path}").ToArray<long>());
        }
    }

    [Fact]
    public void AModelWithoutExperts_HasNoRoutingToCache()
    {
        using EngineFixture fixture = EngineFixture.GPT2();
        Program program = fixture.Record(_prompt, t => t.Cache(routing: true));
        Error error = Assert.ThrowsAny<NdifException>(() => fixture.Run(program)).Error;
        Assert.Contains("has no experts", error.Message, StringComparison.Ordinal);
    }

    /// <summary>The modules that have the experts, by layer.</summary>
    private static Envoy[] MixturesOf(EngineFixture fixture) =>
        [.. fixture.Model.Modules(module => module.Name == "experts" && !module.Path.Contains("vision", StringComparison.Ordinal))];

    private static void Intervene(EngineFixture fixture, Random random)
    {
        foreach (Envoy experts in MixturesOf(fixture))
        {
            foreach (Envoy expert in experts)
            {
                switch (random.Next(9))
                {
                    case 0:
                        expert.Tokens.Save($"tokens {expert.Path}");
                        expert.Input.Save($"input {expert.Path}");
                        break;
                    case 1:
                        expert.Input *= 0.5;
                        break;
                    case 2:
                        expert.Input = expert.Input - 0.25;
                        expert.Input.Save($"replaced {expert.Path}");
                        break;
                    case 3:
                        expert.Skip(expert.Input * 2);
                        break;
                    case 4:
                        expert.Output *= -1;
                        expert.Output.Save($"edited {expert.Path}");
                        break;
                    case 5:
                        expert.Output = expert.Output + expert.Input;
                        break;
                    case 6:
                        expert.Output[..] = 0.5;
                        break;
                }
            }
        }
        fixture.Model.Logits[.., ^1].Save("logits");
    }
}
