using Ndif.Protocol;

namespace Ndif.Language.Tests;

/// <summary>
/// Sampling, which gives the same tokens in every execution mode. Includes nnsight's sampling and streaming tests of vLLM.
/// </summary>
public sealed class SamplingTests(ServiceFixture service) : LanguageTests(service)
{
    private const int Seed = 21;

    private async Task<long[]> IdsAsync(Trace trace)
    {
        using (trace)
        {
            Saved ids = trace.Result.Save();
            await trace.RunAsync(Cancel);
            return ids.ToArray<long>();
        }
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_vllm/TestSampling.test_sampling_temperature")]
    public async Task ASeed_DrawsTheSameTokens_Everywhere(ExecutionMode mode)
    {
        Trace Of(ExecutionMode where) =>
            Model(where).Generate(Paris, 12, new() { Temperature = 2, TopK = 0, Seed = Seed, IgnoreEos = true });
        long[] drawn = await IdsAsync(Of(mode));
        Assert.Equal(await IdsAsync(Of(ExecutionMode.Local)), drawn);
        Assert.NotEqual(await IdsAsync(Model(mode).Generate(Paris, 12, new() { IgnoreEos = true })), drawn);
        Assert.NotEqual(await IdsAsync(Model(mode).Generate(Paris, 12, new() { Temperature = 2, TopK = 0, IgnoreEos = true })), drawn);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task PromptsOfOneTrace_HaveTheirOwnOptions_AndDrawAsAlone(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(maxNewTokens: 6, options: new() { IgnoreEos = true });
        Saved drawn, greedy, stopped;
        using (t.Invoke(Paris, new() { Temperature = 2, TopK = 0, Seed = Seed })) drawn = t.Result.Save();
        using (t.Invoke("The Eiffel Tower is in")) greedy = t.Result.Save();
        using (t.Invoke("The Eiffel Tower is in", new() { StopStrings = ["the mid"] })) stopped = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(await IdsAsync(llm.Generate(Paris, 6, new() { Temperature = 2, TopK = 0, Seed = Seed, IgnoreEos = true })),
            drawn.ToArray<long>());
        Assert.StartsWith("The Eiffel Tower is in the middle of Paris.", llm.Tokenizer.Decode(greedy), StringComparison.Ordinal);
        Assert.Equal("The Eiffel Tower is in the middle", llm.Tokenizer.Decode(stopped, skipSpecialTokens: true));
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task RulesForTokens_AreOfTheirRows_AndTheSameEverywhere(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        const string Tower = "The Eiffel Tower is in";
        int[] middle = [.. llm.Tokenizer.Encode(Tower + " the middle").Skip(llm.Tokenizer.Encode(Tower).Count)];
        GenerationOptions[] rules =
        [
            new() { SuppressTokens = [middle[1]] },
            new() { BeginSuppressTokens = [middle[0]] },
            new() { BadWordsIds = [middle] },
            new() { SequenceBias = [(middle, -9)] },
            new() { ForcedEosTokenIds = [middle[0]], MaxNewTokens = 3 },
        ];
        using Trace t = llm.Generate(maxNewTokens: 5, options: new() { IgnoreEos = true });
        List<Saved> ids = [];
        foreach (GenerationOptions own in rules)
            using (t.Invoke(Tower, own)) ids.Add(t.Result.Save());
        Saved plain;
        using (t.Invoke(Tower)) plain = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.StartsWith("The Eiffel Tower is in the middle of Paris.", llm.Tokenizer.Decode(plain), StringComparison.Ordinal);
        for (int i = 0; i < rules.Length; i++)
        {
            GenerationOptions alone = rules[i] with { IgnoreEos = true, MaxNewTokens = rules[i].MaxNewTokens ?? 5 };
            Assert.Equal(await IdsAsync(Model(ExecutionMode.Local).Generate(Tower, options: alone)), ids[i].ToArray<long>());
            Assert.DoesNotContain("the middle of Paris", llm.Tokenizer.Decode(ids[i]), StringComparison.Ordinal);
        }
        Assert.Equal(middle[0], ids[^1].ToArray<long>()[^1]);
        Assert.Contains("vocabulary", (await Assert.ThrowsAsync<BadProgramException>(
            () => IdsAsync(llm.Generate(Tower, 1, new() { SuppressTokens = [1_422] })))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AProgramWithSuchRules_RequiresTheFeature_SoThatAnEarlierServiceRefusesIt()
    {
        LanguageModel llm = Model(ExecutionMode.Local);
        Program Record(GenerationOptions? trace, GenerationOptions? invoke)
        {
            using Trace t = llm.Generate(maxNewTokens: 2, options: trace);
            using (t.Invoke("Hello", invoke ?? new())) t.Result.Save("ids");
            return t.ToProgram();
        }
        Assert.Empty(Record(new() { MinNewTokens = 1 }, new() { Seed = 1 }).RequiredFeatures);
        Assert.Equal("logits_processors", Assert.Single(Record(new() { SuppressTokens = [] }, new() { TopH = 0.5 }).RequiredFeatures));
        Assert.Single(Record(null, new() { BadWordsIds = [[1]] }).RequiredFeatures);
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task Beams_AreTheSameEverywhere_AndTheFirstIsTheBest(ExecutionMode mode)
    {
        Trace Of(ExecutionMode where) =>
            Model(where)
            .Generate(Rome, 4, new() { NumBeams = 4, NumReturnSequences = 3, LengthPenalty = 0.5, EarlyStopping = EarlyStopping.Never });
        using Trace t = Of(mode);
        LanguageModel llm = Model(mode);
        Saved logits = llm.LmHead.Output.Shape.Save(), ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal([4, llm.Tokenizer.Encode(Rome).Count, 1422], Numbers(logits));
        Assert.Equal(3, ids.Tensor.Shape[0]);
        Assert.Equal(await IdsAsync(Of(ExecutionMode.Local)), ids.ToArray<long>());
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_vllm/TestAsyncEngine.test_async_basic_streaming", "test_vllm/TestAsyncEngine.test_async_finished_flag",
        "test_vllm/TestAsyncEngine.test_async_text_output",
        "test_vllm/TestAsyncEngine.test_async_saves_on_finished_output", "test_vllm/TestAsyncEngine.test_async_intervention",
        "test_iter_edge_cases/TestStreamerIntegration.test_huggingface_text_iterator_streamer")]
    public async Task Tokens_StreamBesideAnIntervention(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t = llm.Generate(Paris, 6, new() { IgnoreEos = true });
        List<GeneratedToken> told = [];
        t.OnToken = told.Add;
        foreach (int step in t.Iter[1..]) llm.Layers[0].Mlp.Output = llm.Layers[0].Mlp.Output * 0.5;
        Saved hidden = llm.Layers[^1].Next(5).Hidden.Save(), ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(ids.ToArray<long>()[^6..], told.Select(token => token.Id));
        Assert.Equal(llm.Tokenizer.Decode(ids, skipSpecialTokens: true), Paris + string.Concat(told.Select(token => token.Text)));
        Assert.Equal([false, false, false, false, false, true], told.Select(token => token.IsLast));
        Assert.Equal([1, 1, 128], hidden.Tensor.Shape.ToArray());
    }

    [Theory, MemberData(nameof(Modes))]
    public async Task TokensOfManyRows_ComeInOrder_HoweverTheyTravel(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        using Trace t =
            llm.Generate(Paris, 8, new() { Temperature = 2, TopK = 0, Seed = Seed, NumReturnSequences = 100, IgnoreEos = true });
        List<GeneratedToken> told = [];
        t.OnToken = told.Add;
        Saved ids = t.Result.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(Enumerable.Range(0, 8).SelectMany(step => Enumerable.Range(0, 100).Select(row => (step, row))),
            told.Select(token => (token.Step, token.Row)));
        long[] all = ids.ToArray<long>();
        int width = (int)ids.Tensor.Shape[1];
        Assert.All(told, token => Assert.Equal(all[token.Row * width + width - 8 + token.Step], token.Id));
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_lm/TestMiscellaneous.test_iter_with_streamer1", "test_lm/TestMiscellaneous.test_iter_with_streamer2")]
    public async Task TheStreamer_GivesThePrompt_AndThenToken_AndTakesOthers(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        int rome = llm.Tokenizer.Encode(" Rome")[0];
        using Trace t = llm.Generate(Paris, 3, new() { IgnoreEos = true });
        Saved prompt = llm.Generator.Streamer.Output.Save();
        List<Saved> shown = [];
        foreach (int step in t.Iter[..])
        {
            if (step == 1) llm.Generator.Streamer.Output = rome;
            shown.Add(llm.Generator.Streamer.Output.Save());
        }
        Saved ids = llm.Generator.Output.Save();
        await t.RunAsync(Cancel);
        Assert.Equal(Paris, llm.Tokenizer.Decode(prompt));
        Assert.Equal([Paris, " Rome"], llm.Tokenizer.BatchDecode(shown[..2]));
        Assert.StartsWith(Paris + " Rome", llm.Tokenizer.Decode(ids), StringComparison.Ordinal);
        Assert.Contains("(generator): Generator(", llm.ToString(), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Modes))]
    [PortedFrom("test_iter_edge_cases/TestNext.test_module_next_outside_iter_loop_is_broken",
        "test_iter_edge_cases/TestNext.test_tracer_next_outside_iter_loop_is_broken",
        "test_iter_edge_cases/TestNext.test_tracer_next_inside_iter_works")]
    public async Task Next_WorksOutsideOfAnIteration_AndWithin(ExecutionMode mode)
    {
        LanguageModel llm = Model(mode);
        foreach (bool within in (bool[])[false, true])
        {
            using Trace t = llm.Generate(NewYork, 3);
            List<Saved> tokens = [];
            if (within)
            {
                foreach (int step in t.Iter[0]) Three();
            }
            else
            {
                Three();
            }
            await t.RunAsync(Cancel);
            Assert.Equal([" New", " York", " City"], llm.Tokenizer.BatchDecode(tokens));

            void Three()
            {
                tokens.Add(llm.LmHead.Output[0, ^1].ArgMax(-1).Save());
                tokens.Add(llm.LmHead.Next().Output[0, ^1].ArgMax(-1).Save());
                t.Next();
                tokens.Add(llm.LmHead.Output[0, ^1].ArgMax(-1).Save());
            }
        }
    }
}
