using CsCheck;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Engine.Tests.Generating;

public sealed class SamplingTests : IDisposable
{
    private static readonly int[] _prompt = [3, 1, 4], _other = [9, 2, 6, 5, 3];

    private readonly EngineFixture _fixture = EngineFixture.GPT2();

    public void Dispose() => _fixture.Dispose();

    private LanguageModel Model => _fixture.Model;

    private JobOutcome Run(Trace trace, Action<Trace>? experiment = null) => _fixture.Run(Record(trace, experiment))[0];

    private static Program Record(Trace trace, Action<Trace>? experiment = null)
    {
        using (trace)
        {
            experiment?.Invoke(trace);
            trace.Result.Save("ids");
            return trace.ToProgram();
        }
    }

    private long[] Ids(Trace trace) => Run(trace).AssertCompleted().Tensor("ids").ToArray<long>();

    [Fact]
    public void TheSameSeed_DrawsTheSameTokens_AndAnotherOthers()
    {
        long[] Draw(long? seed) => Ids(Model.Generate(_prompt, 12, new() { Temperature = 3, TopK = 0, Seed = seed }));
        Assert.Equal(Draw(7), Draw(7));
        Assert.NotEqual(Draw(7), Draw(8));
        Assert.NotEqual(Draw(null), Draw(null));
    }

    [Fact]
    public void FirstTokens_FollowTheModelsProbabilities_ByChiSquare()
    {
        // 250 copies of the row, 16 times; exact probabilities from the logits, after temperature and top-k
        const int Copies = 250, Runs = 16;
        float[] logits = _fixture.Run(_prompt, _ => Model.Logits[0, ^1].Save("logits")).AssertCompleted().Tensor("logits").ToArray<float>();
        int[] kept = [.. Enumerable.Range(0, logits.Length).OrderByDescending(i => logits[i]).Take(10)];
        double[] weights = [.. Enumerable.Range(0, logits.Length).Select(i => kept.Contains(i) ? Math.Exp(logits[i] / 1.5) : 0)];
        var counts = new int[logits.Length];
        for (int run = 0; run < Runs; run++)
        {
            JobOutcome outcome =
                Run(Model.Generate(_prompt, 1, new() { Temperature = 1.5, TopK = 10, Seed = run * Copies, NumReturnSequences = Copies }))
                .AssertCompleted();
            foreach (long id in outcome.Tensor("ids")[.., ^1].ToArray<long>()) counts[id]++;
        }
        double Expected(int i) => Copies * Runs * weights[i] / weights.Sum();
        Assert.All(Enumerable.Range(0, counts.Length).Except(kept), i => Assert.Equal(0, counts[i]));
        // 9 degrees of freedom: the probability of a larger value is 0.1 %
        Assert.InRange(kept.Sum(i => Math.Pow(counts[i] - Expected(i), 2) / Expected(i)), 0, 27.9);
    }

    [Fact]
    public void RowI_DrawsAsARowAlone_WithTheSeedPlusI()
    {
        TensorData rows =
            Run(Model.Generate(new[] { _prompt, _prompt, _prompt }, 8, new() { Temperature = 2, TopK = 0, Seed = 40, IgnoreEos = true }))
            .AssertCompleted().Tensor("ids");
        for (int row = 0; row < 3; row++)
            Assert.Equal(Ids(Model.Generate(_prompt, 8, new() { Temperature = 2, TopK = 0, Seed = 40 + row, IgnoreEos = true })),
                rows[row].ToArray<long>());
        Assert.NotEqual(rows[0].ToArray<long>(), rows[1].ToArray<long>());
        Assert.Equal(rows.ToArray<long>(),
            Run(Model.Generate(_prompt, 8, new() { Temperature = 2, TopK = 0, Seed = 40, NumReturnSequences = 3, IgnoreEos = true }))
            .AssertCompleted().Tensor("ids").ToArray<long>());
    }

    [Fact]
    public void AnInvoke_HasOptionsOfItsOwn()
    {
        Trace trace = Model.Generate(maxNewTokens: 6, options: new() { IgnoreEos = true });
        using (trace)
        {
            using (trace.Invoke(_prompt, new() { Temperature = 2, TopK = 0, Seed = 5 })) trace.Result.Save("drawn");
            using (trace.Invoke(_other)) trace.Result.Save("greedy");
            using (trace.Invoke(_prompt, new() { MaxNewTokens = 2 })) trace.Result.Save("short");
            JobOutcome run = _fixture.Run(trace.ToProgram())[0].AssertCompleted();
            Assert.Equal(Ids(Model.Generate(_prompt, 6, new() { Temperature = 2, TopK = 0, Seed = 5, IgnoreEos = true })),
                run.Tensor("drawn").ToArray<long>());
            Assert.Equal(Ids(Model.Generate(_other, 6, new() { IgnoreEos = true })), run.Tensor("greedy").ToArray<long>());
            Assert.Equal(Ids(Model.Generate(_prompt, 2, new() { IgnoreEos = true })), run.Tensor("short")[0, ..5].ToArray<long>());
        }
    }

    /// <summary>A prompt and the options of its generation.</summary>
    private static readonly Gen<(int[] Prompt, Generation Options)> _row =
        Gen.Select(Gen.Int[0, 39].Array[1, 7], Gen.Int[0, 8], Gen.Double[0.3, 3], Gen.Double[0.2, 1], Gen.Int[1, 30], Gen.ULong)
        .Select((prompt, kind, temperature, p, k, seed) =>
        {
            var g = new Generation { MaxNewTokens = (uint)(3 + kind), IgnoreEos = true, Seed = seed };
            if (kind is 1 or 2) (g.Temperature, g.TopK) = (temperature, (uint)k);
            if (kind is 2) g.TopP = p;
            if (kind is 3) (g.MinP, g.TypicalP, g.ReturnSequences) = (p / 10, p, 2);
            if (kind is 6 or 7)
            {
                g.SuppressTokens = new() { Ids = { k, (k + 7) % 40, (k + 8) % 40 } };
                g.BeginSuppressTokens = new() { Ids = { Enumerable.Range(0, k).Select(i => (long)i) } };
                TokenRow pair = new() { Ids = { prompt[^1], (k + 3) % 40 } }, single = new() { Ids = { (k + 1) % 40 } };
                g.BadWords = new() { Rows = { pair, single } };
                g.ForcedEos = new() { Ids = { (k + 2) % 40 } };
                g.ForcedBos = (k + 4) % 40;
            }
            if (kind is 7 or 8)
            {
                (g.Beams, g.RenormalizeLogits, g.EncoderNoRepeatNgram, g.EncoderRepetitionPenalty) = (3, true, 2, temperature);
                g.SequenceBias = new() { Biases = { new SequenceBias { Ids = { (k + 5) % 40 }, Bias = p } } };
            }
            if (kind is 8) (g.Sample, g.EpsilonCutoff, g.EtaCutoff, g.TopH) = (true, p / 50, p / 50, p);
            if (kind is 4) (g.Beams, g.ReturnSequences, g.LengthPenalty) = (3, 2, temperature - 1);
            if (kind is 4 or 5) (g.RepetitionPenalty, g.NoRepeatNgram) = (1 + p, 2);
            return (prompt, g);
        });

    [Fact]
    public void RowsOfMixedOptionsInOneBatch_AreTheSameRowsAlone() =>
    Gen.Select(_row.Array[2, 4], Gen.Bool, Gen.Int[1, 500]).Sample((rows, llama, seed) =>
    {
        using EngineFixture rig = llama ? EngineFixture.Llama(seed) : EngineFixture.GPT2(seed);
        Program Of((int[] Prompt, Generation Options) row)
        {
            var p = new ProgramBuilder();
            p.Trace(ProgramBuilder.Tokens([.. row.Prompt.Select(i => (long)i)]),
                () => p.Save(p.Add(new Node { Result = new ReadResult() }), "ids"), row.Options);
            return p.Program;
        }
        JobOutcome[] together = rig.Run([.. rows.Select(Of)]);
        for (int i = 0; i < rows.Length; i++)
            Assert.Equal(rig.Run(Of(rows[i]))[0].AssertCompleted().Tensor("ids").ToArray<long>(),
                together[i].AssertCompleted().Tensor("ids").ToArray<long>());
    }, iter: 25, seed: "0N0XIzNsQ0O2", threads: 1);

    [Fact]
    public void RunsAfterALostPass_DrawTheSame()
    {
        // the second job makes the shared pass fail, and the first job is restarted alone
        Program good = Record(Model.Generate(_prompt, 6, new() { Temperature = 2, TopK = 0, Seed = 9, IgnoreEos = true, Stream = true })),
            bad = Record(Model.Generate(_other, 6), t =>
        {
            foreach (int step in t.Iter[2]) Model.Embed.Input = Model.Embed.Input + 4_000;
        });
        JobOutcome[] outcomes = _fixture.Run(good, bad);
        outcomes[1].AssertFailed(ErrorCode.OpFailed);
        Assert.Equal(_fixture.Run(good)[0].Tensor("ids").ToArray<long>(), outcomes[0].AssertCompleted().Tensor("ids").ToArray<long>());
        Assert.Equal(Enumerable.Range(0, 6).Select(i => (uint)i), outcomes[0].NewTokens.Select(t => t.Step));
    }

    [Fact]
    public void TheModelsFile_SaysWhatTheUserDoesNot_AndAnArgumentWins()
    {
        using EngineFixture rig =
            EngineFixture.WithDefaults(
                """{ "do_sample": true, "temperature": 2.5, "top_k": 0, "max_new_tokens": 9, "eos_token_id": [38, 39], "pad_token_id": 37 }""");
        long[] Of(Trace trace) => rig.Run(Record(trace))[0].AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.Equal((true, 2.5, 9u),
            (rig.Model.GenerationDefaults.Options.Sample, rig.Model.GenerationDefaults.Options.Temperature,
                rig.Model.GenerationDefaults.Options.MaxNewTokens));
        Assert.Equal(Of(rig.Model.Generate(_prompt, 9, new() { DoSample = true, Temperature = 2.5, TopK = 0, Seed = 3 })),
            Of(rig.Model.Generate(_prompt, options: new() { Seed = 3 })));
        Assert.Equal(Ids(Model.Generate(_prompt, 4, new() { IgnoreEos = true })),
            Of(rig.Model.Generate(_prompt, 4, new() { DoSample = false, IgnoreEos = true })));
        JobOutcome run = rig.Run(Record(rig.Model.Generate(_prompt), t =>
        {
            foreach (int step in t.Iter[..]) t.Log(step);
        }))[0].AssertCompleted();
        Assert.Equal(9, run.Logs.Count); // an open-ended iteration ends at the limit of the file
    }

    [Theory]
    [InlineData("""{ "do_sample": false, "temperature": 0.0 }""", "temperature")]
    [InlineData("""{ "top_p": 7.0 }""", "top_p")]
    [InlineData("""{ "top_k": 0, "typical_p": 3.0 }""", "typical_p")]
    public void ASamplingOptionOfTheFile_ThatHasNoEffect_IsNoError_UntilARequestSamples(string file, string option)
    {
        using EngineFixture greedy = EngineFixture.GPT2();
        using EngineFixture rig = EngineFixture.WithDefaults(file);
        long[] Ids(EngineFixture of) =>
            of.Run(Record(of.Model.Generate(_prompt, 4)))[0].AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.Equal(Ids(greedy), Ids(rig));
        Error error = rig.Run(Record(rig.Model.Generate(_prompt, 4, new() { DoSample = true })))[0].AssertFailed(ErrorCode.BadArgument);
        Assert.Contains($"`{option}`", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ATopPOfZero_DrawsTheLikeliestToken()
    {
        using EngineFixture rig = EngineFixture.WithDefaults("""{ "do_sample": true, "top_p": 0.0 }""");
        long[] Ids(GenerationOptions options) =>
            rig.Run(Record(rig.Model.Generate(_prompt, 4, options)))[0].AssertCompleted().Tensor("ids").ToArray<long>();
        Assert.Equal(Ids(new() { DoSample = false }), Ids(new()));
        Assert.Equal(Ids(new() { DoSample = false }), Ids(new() { TopP = 0 }));
    }

    [Theory]
    [InlineData("""{ "temperature": "hot" }""")]
    [InlineData("""{ "do_sample": true, "top_p": 7 }""")]
    [InlineData("""{ "early_stopping": "soon" }""")]
    [InlineData("[")]
    public void AFileThatIsWrong_IsSaid(string file)
    {
        using EngineFixture rig = EngineFixture.WithDefaults(file);
        Error error = rig.Run(_prompt, 2, _ => { }).AssertFailed(ErrorCode.BadCheckpoint);
        Assert.Contains("generation_config.json", error.Message, StringComparison.Ordinal);
        Assert.ThrowsAny<NdifException>(() => rig.Model.GenerationDefaults);
    }

    [Fact]
    public void WithoutAFile_TheConfigSaysWhereTextEnds() => Assert.Equal([0L], Model.GenerationDefaults.Options.Eos);

    public static TheoryData<string> WrongOptions =>
        ["temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "beams", "return_sequences", "stop", "stream", "no effect",
            "min_new_tokens", "eos", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "forced_bos_token_id",
            "forced_eos_token_id", "sequence_bias", "encoder_repetition_penalty", "exponential_decay_length_penalty", "epsilon_cutoff",
            "eta_cutoff", "top_h", "no effect either"];

    [Theory]
    [MemberData(nameof(WrongOptions))]
    public void OptionsOutOfBounds_AreRefusedWhileRecording_AndByTheEngine(string option)
    {
        (Action record, Generation g) = option switch
        {
            "temperature" =>
                ((Action)(() => Model.Generate(_prompt, options: new() { Temperature = 0 })), new Generation { Temperature = 0 }),
            "top_p" => (() => Model.Generate(_prompt, options: new() { TopP = 1.5 }), new Generation { TopP = double.NaN }),
            "min_p" => (() => Model.Generate(_prompt, options: new() { MinP = -1 }), new Generation { MinP = 2 }),
            "typical_p" => (() => Model.Generate(_prompt, options: new() { TypicalP = 0 }), new Generation { TypicalP = 0 }),
            "repetition_penalty" =>
                (() => Model.Generate(_prompt, options: new() { RepetitionPenalty = 0 }),
                    new Generation { RepetitionPenalty = double.PositiveInfinity }),
            "beams" => (() => Model.Generate(_prompt, options: new() { NumBeams = 0 }), new Generation { Beams = 1_000 }),
            "return_sequences" =>
                (() => Model.Generate(_prompt, options: new() { NumBeams = 2, NumReturnSequences = 3 }),
                    new Generation { ReturnSequences = 0 }),
            "stop" =>
                (() => Model.Generate(_prompt, options: new() { StopStrings = [""] }), new Generation { Stop = { new string('x', 300) } }),
            "stream" =>
                (() => Model.Generate(_prompt, options: new() { NumBeams = 2, Stream = true }),
                    new Generation { Beams = 2, Stream = true }),
            "no effect" =>
                (() => Model.Generate(_prompt, options: new() { DoSample = false, TopK = 3 }),
                    new Generation { Sample = false, TopP = 0.5 }),
            "min_new_tokens" =>
                (() => Model.Generate(_prompt, 3, new() { MinNewTokens = 4 }), new Generation { MaxNewTokens = 1, MinNewTokens = 2 }),
            "suppress_tokens" =>
                (() => Model.Generate(_prompt, options: new() { SuppressTokens = [-1] }),
                    new Generation { SuppressTokens = new() { Ids = { 40 } } }),
            "begin_suppress_tokens" =>
                (() => Model.Generate(_prompt, options: new() { BeginSuppressTokens = [3, -1] }),
                    new Generation { BeginSuppressTokens = new() { Ids = { 99 } } }),
            "bad_words_ids" =>
                (() => Model.Generate(_prompt, options: new() { BadWordsIds = [[1], []] }),
                    new Generation { BadWords = new() { Rows = { new TokenRow { Ids = { 1, 40 } } } } }),
            "forced_bos_token_id" =>
                (() => Model.Generate(_prompt, options: new() { ForcedBosTokenId = -2 }), new Generation { ForcedBos = 40 }),
            "forced_eos_token_id" =>
                (() => Model.Generate(_prompt, options: new() { ForcedEosTokenIds = [-2] }),
                    new Generation { ForcedEos = new() { Ids = { 1, 40 } } }),
            "sequence_bias" =>
                (() => Model.Generate(_prompt, options: new() { SequenceBias = [([], 1)] }),
                    new Generation { SequenceBias = new() { Biases = { new SequenceBias { Ids = { 40 } } } } }),
            "encoder_repetition_penalty" =>
                (() => Model.Generate(_prompt, options: new() { EncoderRepetitionPenalty = -1 }),
                    new Generation { EncoderRepetitionPenalty = 0 }),
            "exponential_decay_length_penalty" =>
                (() => Model.Generate(_prompt, options: new() { ExponentialDecayLengthPenalty = (1, double.NaN) }),
                    new Generation { ExponentialDecay = new() { Factor = -1 } }),
            "epsilon_cutoff" =>
                (() => Model.Generate(_prompt, options: new() { EpsilonCutoff = 1 }), new Generation { EpsilonCutoff = -0.1 }),
            "eta_cutoff" => (() => Model.Generate(_prompt, options: new() { EtaCutoff = 2 }), new Generation { EtaCutoff = double.NaN }),
            "top_h" => (() => Model.Generate(_prompt, options: new() { TopH = 0 }), new Generation { TopH = 1.1 }),
            "no effect either" =>
                (() => Model.Generate(_prompt, options: new() { DoSample = false, TopH = 0.5 }),
                    new Generation { Sample = false, EtaCutoff = 0.5 }),
            _ => (() => Model.Generate(_prompt, options: new() { EosTokenIds = [-1] }), new Generation { Eos = { -4 } }),
        };
        option = option.Replace(" either", "", StringComparison.Ordinal);
        Assert.Contains(option, Assert.Throws<BadProgramException>(record).Message, StringComparison.Ordinal);
        var p = new ProgramBuilder();
        p.Trace(ProgramBuilder.Tokens([3, 1]), () => { }, g);
        Assert.Contains(option, Assert.Throws<BadProgramException>(() => _fixture.Run(p.Program)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatMakesNoSenseForThisModel_EndsTheJob()
    {
        Assert.Contains("all be the same", Run(Model.Generate(_prompt, 2, new() { NumReturnSequences = 2 }))
            .AssertFailed(ErrorCode.BadArgument).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => Model.Generate(_prompt, -1));
        Assert.Contains("No token is left", Run(Model.Generate(_prompt, 45, new() { NoRepeatNgramSize = 1, IgnoreEos = true }))
            .AssertFailed(ErrorCode.OpFailed).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ScoresThatAreNoNumbers_EndTheirJob_AndNoOther()
    {
        Program broken = Record(Model.Generate(_prompt, 4, new() { Temperature = 1, Seed = 1 }), t =>
        {
            foreach (int step in t.Iter[1]) Model.Logits[..] = double.NaN;
        });
        Program fine = Record(Model.Generate(_other, 4, new() { IgnoreEos = true }));
        JobOutcome[] outcomes = _fixture.Run(broken, fine);
        Assert.Contains("not numbers", outcomes[0].AssertFailed(ErrorCode.OpFailed).Message, StringComparison.Ordinal);
        Assert.Equal(9, outcomes[1].AssertCompleted().Tensor("ids").Shape[1]);
    }

    [Fact]
    public void RepetitionPenaltyAndMinNewTokens_ReachTheModel()
    {
        long[] plain = Ids(Model.Generate(_prompt, 10, new() { IgnoreEos = true })),
            unrepeated = Ids(Model.Generate(_prompt, 10, new() { NoRepeatNgramSize = 1, IgnoreEos = true }));
        Assert.Equal(unrepeated.Length, unrepeated.Distinct().Count());
        long end = plain[4];
        Assert.Equal(plain.AsSpan().IndexOf(end) + 1, Ids(Model.Generate(_prompt, 10, new() { EosTokenIds = [(int)end] })).Length);
        Assert.True(Ids(Model.Generate(_prompt, 10, new() { EosTokenIds = [(int)end, 38], MinNewTokens = 6 })).Length >= 9);
    }
}
