using Ndif.Engine.Generating;
using Ndif.Engine.Generating.Logits;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Tests.Generating;

/// <summary>
/// Each processor against a simple, slow implementation of its definition in transformers/generation/logits_process.py, on random
/// scores.
/// </summary>
public sealed class LogitsProcessorTests
{
    private const int VocabSize = 30;

    private static readonly long[] _tokens = [3, 5, 7, 3, 5, 9, 3];

    private static float[] Scores(int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, VocabSize)
            .Select(i => seed % 3 == 0 && i % 4 == 0 ? float.NegativeInfinity : (float)(random.NextDouble() * 8 - 4))];
    }

    private static float[] Apply(ILogitsProcessor processor, float[] scores, long[]? tokens = null, int prompt = 3)
    {
        float[] changed = [.. scores];
        processor.Apply(tokens ?? _tokens, prompt, changed);
        return changed;
    }

    private static double[] Softmax(float[] scores)
    {
        double[] e = [.. scores.Select(s => Math.Exp((double)s))];
        return [.. e.Select(x => x / e.Sum())];
    }

    /// <summary>The scores with all other tokens at minus infinity.</summary>
    private static float[] Only(float[] scores, IEnumerable<int> kept)
    {
        HashSet<int> set = [.. kept];
        return [.. scores.Select((s, i) => set.Contains(i) ? s : float.NegativeInfinity)];
    }

    private static void ForSeeds(Action<float[]> check)
    {
        for (int seed = 1; seed <= 40; seed++) check(Scores(seed));
    }

    [Theory]
    [InlineData(1.3)]
    [InlineData(0.7)]
    public void RepetitionPenalty_DividesPositiveScores_AndMultipliesNegativeOnes(double penalty) => ForSeeds(scores =>
    {
        float[] expected = [.. scores.Select((s, i) => !_tokens.Contains(i) ? s : s > 0 ? (float)(s / penalty) : (float)(s * penalty))];
        Assert.Equal(expected, Apply(new RepetitionPenaltyLogitsProcessor(penalty), scores));
    });

    [Fact]
    public void NoRepeatNgram_ExcludesWhatFollowedTheSameTokensBefore()
    {
        float[] scores = Scores(1);
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).Except([5])), Apply(new NoRepeatNgramLogitsProcessor(2), scores));
        Assert.Equal(scores, Apply(new NoRepeatNgramLogitsProcessor(3), scores));
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).Except([7, 9])),
            Apply(new NoRepeatNgramLogitsProcessor(3), scores, [3, 5, 7, 3, 5, 9, 3, 5]));
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).Except([3, 5, 7, 9])), Apply(new NoRepeatNgramLogitsProcessor(1), scores));
        Assert.Equal(scores, Apply(new NoRepeatNgramLogitsProcessor(9), scores));
    }

    [Fact]
    public void MinNewTokens_KeepsTheEndsOut_UntilThereAreEnough()
    {
        float[] scores = Scores(2);
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).Except([1, 2])),
            Apply(new MinNewTokensLogitsProcessor(5, [1, 2, 1_000]), scores));
        Assert.Equal(scores, Apply(new MinNewTokensLogitsProcessor(4, [1, 2]), scores));
    }

    [Fact]
    public void Temperature_Divides() =>
        ForSeeds(scores => Assert.Equal(scores.Select(s => s / 0.7f), Apply(new TemperatureLogitsProcessor(0.7), scores)));

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(100)]
    public void TopK_KeepsTheLargest(int count) => ForSeeds(scores =>
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).OrderByDescending(i => scores[i]).Take(count)),
            Apply(new TopKLogitsProcessor(count), scores)));

    [Fact]
    public void TopK_KeepsAllThatAreAsLikelyAsTheLast() =>
        Assert.Equal([2f, 1, 1, float.NegativeInfinity], Apply(new TopKLogitsProcessor(2), [2f, 1, 1, 0]));

    [Theory]
    [InlineData(0.9, 1)]
    [InlineData(0.3, 1)]
    [InlineData(0.01, 1)]
    [InlineData(0.01, 3)]
    public void TopP_RemovesFromBelow_WhatHasTheRestOfTheProbability(double p, int least) => ForSeeds(scores =>
    {
        // sorted_logits ascending; cumulative = softmax.cumsum; remove cumulative <= 1 - p; keep the last `least`
        int[] ascending = [.. Enumerable.Range(0, VocabSize).OrderBy(i => scores[i])];
        double[] probabilities = Softmax(scores);
        double cumulative = 0;
        List<int> kept = [];
        for (int i = 0; i < VocabSize; i++)
        {
            cumulative += probabilities[ascending[i]];
            if (cumulative > 1 - p || i >= VocabSize - least) kept.Add(ascending[i]);
        }
        Assert.Equal(Only(scores, kept), Apply(new TopPLogitsProcessor(p, least), scores));
    });

    [Theory]
    [InlineData(0.05, 1)]
    [InlineData(0.5, 1)]
    [InlineData(1, 4)]
    public void MinP_KeepsAPartOfTheLikeliest(double p, int least) => ForSeeds(scores =>
    {
        double[] probabilities = Softmax(scores);
        int[] descending = [.. Enumerable.Range(0, VocabSize).OrderByDescending(i => scores[i])];
        Assert.Equal(Only(scores, descending.Where((token, rank) => rank < least || probabilities[token] >= p * probabilities.Max())),
            Apply(new MinPLogitsProcessor(p, least), scores));
    });

    [Theory]
    [InlineData(0.9, 1)]
    [InlineData(0.2, 1)]
    [InlineData(0.2, 3)]
    public void TypicalP_KeepsWhatIsNearestToTheEntropy(double p, int least) => ForSeeds(scores =>
    {
        double[] probabilities = Softmax(scores);
        double entropy = -probabilities.Where(q => q > 0).Sum(q => q * Math.Log(q));
        double[] shifted = [.. probabilities.Select(q => Math.Abs(-Math.Log(q) - entropy))];
        int[] sorted = [.. Enumerable.Range(0, VocabSize).OrderBy(i => shifted[i])];
        double cumulative = 0;
        int last = Math.Min(sorted.Count(token => (cumulative += probabilities[token]) < p), VocabSize - 1);
        Assert.Equal(Only(scores, sorted.Where((token, rank) => rank < least || shifted[token] <= shifted[sorted[last]])),
            Apply(new TypicalLogitsProcessor(p, least), scores));
    });

    [Theory]
    [InlineData(0.05, false, 1)]
    [InlineData(0.9, false, 3)]
    [InlineData(0.05, true, 1)]
    [InlineData(0.9, true, 2)]
    public void EpsilonAndEta_KeepWhatReachesABound(double epsilon, bool isEta, int least) => ForSeeds(scores =>
    {
        double[] probabilities = Softmax(scores);
        double entropy = -probabilities.Where(q => q > 0).Sum(q => q * Math.Log(q));
        double bound = isEta ? Math.Min(epsilon, Math.Sqrt(epsilon) * Math.Exp(-entropy)) : epsilon;
        float last = scores.OrderDescending().ElementAt(least - 1);
        Assert.Equal(Only(scores, Enumerable.Range(0, VocabSize).Where(i => probabilities[i] >= bound || scores[i] >= last)),
            Apply(new ProbabilityCutoffLogitsProcessor(epsilon, isEta, least), scores));
    });

    [Fact]
    public void EpsilonCutoff_KeepsAllThatAreAsLikelyAsTheFirst() =>
        Assert.Equal([2f, 2, float.NegativeInfinity], Apply(new ProbabilityCutoffLogitsProcessor(0.9, false, 1), [2f, 2, 1]));

    [Theory]
    [InlineData(0.4)]
    [InlineData(0.9)]
    [InlineData(1e-9)]
    public void TopH_KeepsTheLikeliest_UpToAPartOfTheEntropyOfAHundred(double h)
    {
        for (int seed = 1; seed <= 40; seed++)
        {
            var random = new Random(seed);
            float[] scores = [.. Enumerable.Range(0, 150)
                .Select(i => seed % 3 == 0 && i % 2 == 0 ? float.NegativeInfinity : (float)(random.NextDouble() * 8 - 4))];
            int[] top = [.. Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i]).Take(100)];
            double sum = top.Sum(i => Math.Exp((double)scores[i])), entropy = 0;
            double[] terms = [.. top.Select(i => Math.Exp((double)scores[i]) / sum).Select(q => q > 0 ? -q * Math.Log(q) : double.NaN)];
            double bound = terms.Where(term => !double.IsNaN(term)).Sum() * h;
            Assert.Equal(Only(scores, top.Where((_, rank) => (entropy += terms[rank]) <= bound || rank == 0)),
                Apply(new TopHLogitsProcessor(h), scores));
        }
    }

    [Fact]
    public void RemoveInvalidValues_LeavesNumbers() =>
        Assert.Equal([0f, float.MaxValue, float.MinValue, 1.5f], Apply(new InfNanRemoveLogitsProcessor(),
            [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1.5f]));

    [Fact]
    public void AGrowingEnd_ThatIsExcluded_StaysExcluded()
    {
        float[] scores = [float.NegativeInfinity, -1.5f, 2, 7];
        float[] changed = Apply(new ExponentialDecayLengthPenaltyLogitsProcessor(1, 2, [0, 1, 2, 99]), scores);
        Assert.Equal([float.NegativeInfinity, -1.5f + 1.5f * 7, 2 + 2 * 7, 7], changed); // three tokens after the start: 2^3 - 1
        Assert.Equal([1f, 2], Apply(new ExponentialDecayLengthPenaltyLogitsProcessor(4, 2, [0]), [1f, 2]));
    }

    [Fact]
    public void Biases_OfOneToken_AreAddedUp_AndOfTwoOfOneSequenceTheLaterApplies()
    {
        var processor = new SequenceBiasLogitsProcessor(
            [([1], 5), ([9, 3, 1], 0.5), ([3, 1], 0.25), ([5, 1], 9), ([1], 1), ([3, 5, 7, 3, 5, 9, 3, 1], 100)]);
        Assert.Equal([0f, 1.75f, 0], Apply(processor, [0f, 0, 0])); // the last one is longer than the row
    }

    [Fact]
    public void ManyBiases_AreThoseOfTheSequencesThatEndTheRow()
    {
        for (int seed = 0; seed < 50; seed++)
        {
            var random = new Random(seed);
            (long[] Tokens, double Bias)[] biases = [.. Enumerable.Range(0, 200)
                .Select(_ => (Enumerable.Range(0, random.Next(1, 5)).Select(_ => (long)random.Next(3)).ToArray(), random.NextDouble()))];
            long[] row = [.. Enumerable.Range(0, random.Next(6)).Select(_ => (long)random.Next(3))];
            List<(long[] Tokens, double Bias)> latest = []; // in the order of a dictionary of Python
            foreach (var (tokens, bias) in biases)
            {
                int at = latest.FindIndex(other => other.Tokens.SequenceEqual(tokens));
                if (at < 0) latest.Add((tokens, bias));
                else latest[at] = (tokens, bias);
            }
            var sums = new float[VocabSize];
            foreach (var (tokens, bias) in latest.OrderBy(b => b.Tokens.Length > 1))
                if (tokens.Length == 1 || (tokens.Length <= row.Length && row.AsSpan().EndsWith(tokens.AsSpan(..^1))))
                    sums[tokens[^1]] += (float)bias;
            float[] scores = Scores(seed);
            Assert.Equal(scores.Zip(sums, (score, sum) => score + sum),
                Apply(new SequenceBiasLogitsProcessor(biases.Select(b => ((IReadOnlyList<long>)b.Tokens, b.Bias))), scores, row));
        }
    }

    [Fact]
    public void ManyBiases_CanBeCancelled_WhileTheyAreCopiedAndSorted()
    {
        IReadOnlyList<long>[] rows = [.. Enumerable.Range(0, 2_000)
            .Select(row => (IReadOnlyList<long>)[row, .. Enumerable.Repeat(7L, 20)])];
        int partCount = CountParts(int.MaxValue);
        Assert.InRange(partCount, 40, 1_000);
        foreach (int last in (int[])[1, 9, 20, partCount - 1])
            Assert.Throws<OperationCanceledException>(() => { CountParts(last); });

        int CountParts(int last)
        {
            int parts = 0;
            _ = new SequenceBiasLogitsProcessor(rows.Select(row => (row, 1.0)), () =>
            {
                if (++parts >= last) throw new OperationCanceledException();
            });
            return parts;
        }
    }

    [Fact]
    public void EqualSequencesOfTwoInvokes_AreThere_Once()
    {
        var defaults = new GenerationDefaults(new Generation(), null, null);
        var request = new Generation
        {
            Eos = { 1 }, BadWords = new() { Rows = { new Protocol.TokenRow { Ids = { 6, 2 } }, new Protocol.TokenRow { Ids = { 1 } } } },
            SequenceBias = new() { Biases = { new SequenceBias { Ids = { 7 }, Bias = 1 } } },
        };
        ResolvedGenerationOptions one = Resolve(new Generation { Seed = 1 }), two = Resolve(new Generation { Seed = 2 }),
            otherEnd = Resolve(new Generation { Eos = { 3 } });
        two.ShareSequencesOf(one);
        otherEnd.ShareSequencesOf(one);
        Assert.NotNull(one.BadWords);
        Assert.Same(one.BadWords, two.BadWords);
        Assert.Same(one.SequenceBias, two.SequenceBias);
        Assert.NotSame(one.BadWords, otherEnd.BadWords); // there the first end may not be chosen
        Assert.Same(one.SequenceBias, otherEnd.SequenceBias);

        ResolvedGenerationOptions Resolve(Generation overrides) => ResolvedGenerationOptions.Resolve(defaults, request, overrides);
    }

    [Fact]
    public void Rules_StandInHuggingFacesOrder()
    {
        var defaults = new GenerationDefaults(new Generation(), null, null);
        var request = new Generation
        {
            TypicalP = 0.5, MinP = 0.1, TopP = 0.9, TopK = 3, Temperature = 0.5, MinNewTokens = 2, NoRepeatNgram = 2, RepetitionPenalty = 2,
            Eos = { 1 }, SuppressTokens = new() { Ids = { 2 } }, BeginSuppressTokens = new() { Ids = { 3 } }, ForcedBos = 4,
            ForcedEos = new() { Ids = { 5 } }, BadWords = new() { Rows = { new Protocol.TokenRow { Ids = { 6 } } } },
            SequenceBias = new() { Biases = { new SequenceBias { Ids = { 7 }, Bias = 1 } } }, EncoderRepetitionPenalty = 2,
            EncoderNoRepeatNgram = 2, ExponentialDecay = new() { Start = 1, Factor = 2 }, RemoveInvalidValues = true,
            RenormalizeLogits = true, EpsilonCutoff = 0.1, EtaCutoff = 0.1, TopH = 0.5,
        };
        string[] always =
            ["SequenceBias", "EncoderRepetitionPenalty", "RepetitionPenalty", "NoRepeatNgram", "NoRepeatNgram", "SequenceBias",
                "MinNewTokens", "ForcedToken", "ForcedToken", "InfNanRemove", "ExponentialDecayLengthPenalty", "SuppressTokens",
                "SuppressTokens"];
        Assert.Equal([.. always, "Temperature", "TopH", "TopK", "TopP", "MinP", "Typical", "ProbabilityCutoff", "ProbabilityCutoff",
            "LogitNormalization"], Names(request));
        Assert.Equal([.. always, "LogitNormalization"], Names(request, new Generation { Sample = false }));
        Assert.Equal(["MinLength"], Names(new Generation { MinLength = 3, Eos = { 1 } }));

        IEnumerable<string> Names(params Generation[] requests) =>
            LogitsProcessorList.Create(ResolvedGenerationOptions.Resolve(defaults, requests), null)
            .Select(processor => processor.GetType().Name.Replace("LogitsProcessor", "", StringComparison.Ordinal));
    }

    [Fact]
    public void Largest_IsSortedAndOfEqualOnesTheFirst()
    {
        var random = new Random(1);
        for (int round = 0; round < 50; round++)
        {
            float[] scores = [.. Enumerable.Range(0, 60).Select(_ => (float)random.Next(12))];
            Assert.Equal(Enumerable.Range(0, 60).OrderByDescending(i => scores[i]).ThenBy(i => i).Take(9).Select(i => (i, scores[i])),
                TopKSelector.Select(scores, 9));
        }
    }

    [Fact]
    public void Draws_FollowTheProbabilities_ByChiSquare()
    {
        float[] scores = [.. Scores(3).Take(12)];
        double[] probabilities = Softmax(scores);
        const int Draws = 20_000;
        var counts = new int[scores.Length];
        var random = new RowRandomGenerator(11);
        for (int step = 0; step < Draws; step++) counts[TokenSampler.Sample(scores, random.UniformAt(step))]++;
        Assert.All(Enumerable.Range(0, counts.Length).Where(i => probabilities[i] == 0), i => Assert.Equal(0, counts[i]));
        double square =
            counts.Select((count, i) => probabilities[i] == 0 ? 0
                : Math.Pow(count - Draws * probabilities[i], 2) / (Draws * probabilities[i])).Sum();
        Assert.InRange(square, 0, 26.1); // 8 degrees of freedom: the probability of a larger value is 0.1 %
    }

    [Fact]
    public void NeighbouringSeedsAndSteps_AreIndependent()
    {
        // a chi-square test of pairs of random numbers on a grid of 8 by 8: successive steps of a row, and successive rows at one step
        foreach (bool alongSteps in (bool[])[true, false])
        {
            var counts = new int[64];
            const int Pairs = 32_000;
            for (int i = 0; i < Pairs; i++)
            {
                (double a, double b) = alongSteps
                    ? (new RowRandomGenerator(5).UniformAt(2 * i), new RowRandomGenerator(5).UniformAt(2 * i + 1))
                    : (new RowRandomGenerator((ulong)(2 * i)).UniformAt(0), new RowRandomGenerator((ulong)(2 * i + 1)).UniformAt(0));
                counts[(int)(a * 8) * 8 + (int)(b * 8)]++;
            }
            // 63 degrees of freedom, a tail of 0.1 % on either side or less
            Assert.InRange(counts.Sum(c => Math.Pow(c - Pairs / 64.0, 2) / (Pairs / 64.0)), 25, 104);
        }
    }

    [Fact]
    public void ScoresThatLeaveNothing_OrAreNoNumbers_AreErrors()
    {
        foreach (float score in (float[])[float.NegativeInfinity, float.NaN, float.PositiveInfinity])
        {
            NdifException error = Assert.ThrowsAny<NdifException>(() => TokenSampler.Sample([float.NegativeInfinity, score], 0.5));
            Assert.Equal(ErrorCode.OpFailed, error.Code);
        }
    }
}
