using Ndif.Engine.Generating;
using Ndif.Engine.Generating.Logits;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Tests.Generating;

/// <summary>
/// Beam search over a synthetic model, whose scores are a fixed random function of the last two tokens and the length of a row.
/// </summary>
public sealed class BeamSearchDecoderTests
{
    private const int VocabSize = 5, End = 4;

    private static float[] Scores(int seed, ReadOnlySpan<long> tokens)
    {
        var random = new Random((int)(((seed * 31 + tokens.Length) * 31 + tokens[^1]) * 31 + (tokens.Length > 1 ? tokens[^2] : 7)));
        return [.. Enumerable.Range(0, VocabSize).Select(_ => (float)(random.NextDouble() * 4))];
    }

    private static ResolvedGenerationOptions Options(Generation g) =>
        ResolvedGenerationOptions.Resolve(new GenerationDefaults(new Generation(), null, null), g);

    /// <summary>
    /// Runs a search as the engine does: the tokens of a step are the input of the next one, and rows continue from their parents.
    /// </summary>
    private static IReadOnlyList<IReadOnlyList<long>> Search(int model, Generation g)
    {
        var beams = new BeamSearchDecoder(Options(g), [0], null, new RowRandomGenerator(3), null);
        List<long>[] rows = [.. Enumerable.Range(0, beams.RowCount).Select(_ => (List<long>)[0])];
        for (int step = 0; !beams.HasEnded; step++)
        {
            Assert.InRange(step, 0, 50);
            float[] scores = [.. rows.SelectMany(row => Scores(model, [.. row]))];
            beams.SelectTokens(scores, VocabSize);
            rows = [.. Enumerable.Range(0, beams.RowCount).Select(i => (List<long>)[.. rows[beams.SourceRows[i]], beams.NextTokens[i]])];
        }
        return beams.Sequences;
    }

    private static double LogProbability(int model, IReadOnlyList<long> sequence)
    {
        List<long> tokens = [0];
        double sum = 0;
        foreach (long token in sequence)
        {
            float[] scores = Scores(model, [.. tokens]);
            ScoreRanking.LogSoftmax(scores);
            sum += scores[token];
            tokens.Add(token);
        }
        return sum;
    }

    /// <summary>All sequences up to a length or the end of text.</summary>
    private static IEnumerable<long[]> All(int length, bool ends)
    {
        if (length == 0) return [[]];
        return Enumerable.Range(0, VocabSize)
            .SelectMany(token => ends && token == End ? (IEnumerable<long[]>)[[token]]
                : All(length - 1, ends).Select(rest => (long[])[token, .. rest]));
    }

    [Theory]
    [InlineData(1.0)]
    [InlineData(0.0)]
    [InlineData(2.0)]
    [InlineData(-1.0)]
    public void EnoughBeams_FindTheBestOfAllSequences(double penalty)
    {
        for (int model = 1; model <= 20; model++)
        {
            IReadOnlyList<IReadOnlyList<long>> found = Search(model, new Generation
            {
                Beams = 64, ReturnSequences = 4, MaxNewTokens = 3, LengthPenalty = penalty, Eos = { End },
                    EarlyStopping = EarlyStopping.Never,
            });
            long[][] best = [.. All(3, ends: true).OrderByDescending(s => LogProbability(model, s) / Math.Pow(s.Length, penalty)).Take(4)];
            Assert.Equal(best.Select(s => string.Join(" ", s)), found.Select(s => string.Join(" ", s)));
        }
    }

    [Theory]
    [InlineData("""{ "suppress_tokens": [2], "begin_suppress_tokens": [1, 4] }""")]
    [InlineData("""{ "bad_words_ids": [[1, 3], [4], [0, 2, 2], [0]], "renormalize_logits": true }""")]
    [InlineData("""{ "forced_bos_token_id": 2, "forced_eos_token_id": [4, 1], "begin_suppress_tokens": [3] }""")]
    [InlineData("""{ "sequence_bias": [[[2], -1.5], [[2, 3], 4.0], [[0, 2, 1], 7.0]], "encoder_repetition_penalty": 3.0 }""")]
    [InlineData("""{ "min_length": 3, "encoder_no_repeat_ngram_size": 1, "exponential_decay_length_penalty": [1, 0.25] }""")]
    public void EnoughBeams_FindTheBestSequences_UnderTheOptionsOfHuggingFace(string config)
    {
        string file = config.Replace("{ ", $"{{ \"eos_token_id\": [{End}], ", StringComparison.Ordinal);
        var description = new ModelDescription { Id = "tiny", Vocabulary = VocabSize };
        description.Files.Add("generation_config.json", Google.Protobuf.ByteString.CopyFromUtf8(file));
        Generation options = GenerationDefaults.FromModel(description).Options;
        (options.Beams, options.ReturnSequences, options.MaxNewTokens, options.EarlyStopping) = (64, 3, 3, EarlyStopping.Never);
        var rules = new HuggingFaceGeneration(file, _ => []);
        for (int model = 1; model <= 20; model++)
        {
            double Score(long[] sequence)
            {
                double sum = 0;
                for (int i = 0; i < sequence.Length; i++)
                {
                    long[] row = [0, .. sequence[..i]];
                    float[] scores = Scores(model, row);
                    ScoreRanking.LogSoftmax(scores);
                    sum += rules.Process(row, [0], 4, scores)[sequence[i]];
                }
                return sum / sequence.Length;
            }
            string[] best = [.. All(3, ends: true).OrderByDescending(Score).Take(3).Select(s => string.Join(" ", s))];
            Assert.Equal(best, Search(model, options).Select(s => string.Join(" ", s)));
        }
    }

    [Fact]
    public void ASearchThatEveryTokenIsExcludedFrom_IsAnError() =>
        Assert.Equal(ErrorCode.OpFailed, Assert.ThrowsAny<NdifException>(() => Search(1, new Generation
        {
            Beams = 2, MaxNewTokens = 2, SuppressTokens = new() { Ids = { 3 } }, ForcedEos = new() { Ids = { 3 } },
        })).Code);

    [Fact]
    public void OneStep_IsTheLikeliestTokens()
    {
        for (int model = 1; model <= 10; model++)
        {
            float[] scores = Scores(model, [0]);
            Assert.Equal(Enumerable.Range(0, VocabSize).OrderByDescending(t => scores[t]).Take(3).Select(t => (long)t),
                Search(model, new Generation { Beams = 3, ReturnSequences = 3, MaxNewTokens = 1 }).Select(s => s[0]));
        }
    }

    [Fact]
    public void FourBeams_OftenFindWhatTheGreedySequenceMisses()
    {
        int better = 0;
        for (int model = 1; model <= 40; model++)
        {
            double wide = LogProbability(model, Search(model, new Generation { Beams = 4, MaxNewTokens = 5 })[0]);
            List<long> greedy = [];
            for (int step = 0; step < 5; step++)
            {
                float[] scores = Scores(model, [0, .. greedy]);
                greedy.Add(Array.IndexOf(scores, scores.Max()));
            }
            double narrow = LogProbability(model, greedy);
            if (wide > narrow + 1e-6) better++;
        }
        Assert.InRange(better, 10, 40);
    }

    [Fact]
    public void WhenFull_StopsSooner_AndItsBestIsNoBetterThanTheHeuristics()
    {
        int differ = 0;
        for (int model = 1; model <= 40; model++)
        {
            double Best(EarlyStopping stopping) =>
                Search(model,
                    new Generation { Beams = 3, MaxNewTokens = 8, Eos = { End }, EarlyStopping = stopping, LengthPenalty = 1 })[0] is var s
                    ? LogProbability(model, s) / s.Count : 0;
            double soon = Best(EarlyStopping.WhenFull), later = Best(EarlyStopping.Heuristic), never = Best(EarlyStopping.Never);
            Assert.True(soon <= later + 1e-5 && later <= never + 1e-5, $"{soon} {later} {never}");
            if (soon < never - 1e-5) differ++;
        }
        Assert.InRange(differ, 1, 40);
    }

    [Fact]
    public void SequencesThatComeBack_AreDifferent_AndTheBestFirst()
    {
        for (int model = 1; model <= 20; model++)
        {
            IReadOnlyList<IReadOnlyList<long>> found = Search(model, new Generation { Beams = 4, ReturnSequences = 4, MaxNewTokens = 4 });
            Assert.Equal(4, found.Select(s => string.Join(" ", s)).Distinct().Count());
            double[] scores = [.. found.Select(s => LogProbability(model, s))];
            Assert.Equal(scores.OrderDescending(), scores);
        }
    }

    [Fact]
    public void EndTokensOutsideOfTheVocabulary_DoNotCount()
    {
        var g = new Generation { Beams = 3, ReturnSequences = 3, MaxNewTokens = 4, Sample = true, Temperature = 2, Eos = { End } };
        Generation more = g.Clone();
        more.Eos.AddRange(Enumerable.Range(VocabSize, 2_000).Select(id => (long)id));
        for (int model = 1; model <= 20; model++) Assert.Equal(Search(model, g), Search(model, more));
    }

    [Fact]
    public void ASearch_CanEndBetweenTwoDraws()
    {
        const int Vocabulary = 2_000;
        var g = new Generation { Beams = 64, MaxNewTokens = 8, Sample = true, TopK = 0 };
        g.Eos.AddRange(Enumerable.Range(0, Vocabulary / 2).Select(id => (long)id)); // 64,064 draws from 128,000 scores
        var beams = new BeamSearchDecoder(Options(g), [0], null, new RowRandomGenerator(3), null);
        int parts = 0;
        Assert.Throws<OperationCanceledException>(() => beams.SelectTokens(new float[64 * Vocabulary], Vocabulary, () =>
        {
            if (++parts == 70) throw new OperationCanceledException();
        }));
    }

    [Fact]
    public void SampledBeams_AreTheSameWithTheSameSeed()
    {
        var g = new Generation { Beams = 3, MaxNewTokens = 4, Sample = true, Temperature = 2 };
        Assert.Equal(Search(1, g)[0], Search(1, g)[0]);
        Assert.Contains(Enumerable.Range(1, 20), model => !Search(model, g)[0]
            .SequenceEqual(Search(model, new Generation { Beams = 3, MaxNewTokens = 4 })[0]));
    }
}
