using Ndif.Engine.Generating.Logits;
using Ndif.Protocol;

namespace Ndif.Engine.Generating;

/// <summary>
/// A beam search from one row. Its rows are the best unfinished sequences; it also keeps the best finished ones.
/// 1. The scores of each beam become log probabilities, pass the logits processors, and are added to the score of the beam.
/// 2. The best candidates of all beams are selected, or drawn without replacement: enough of them for beams that do not end.
/// 3. The best candidates that do not end become the beams. A beam can have several successors, or none.
/// 4. Candidates that end compete with the finished sequences by their score divided by length ^ length_penalty.
/// 5. The search ends when no running beam can become better than the worst finished one, or as early_stopping says.
/// </summary>
/// <remarks>
/// _beam_search and its parts in transformers/generation/utils.py, in float32 as in Hugging Face; each row of a batch ends independently.
/// </remarks>
internal sealed class BeamSearchDecoder : ISequenceDecoder
{
    /// <summary>Added to the score of a candidate that is chosen only if there is no other.</summary>
    private const float ExcludedScore = -1e9f;

    private readonly ResolvedGenerationOptions _options;
    private readonly long[] _prompt;
    private readonly RowRandomGenerator _random;
    private readonly StopStringCriteria? _stopCriteria;
    private readonly ILogitsProcessor[] _logitsProcessors;
    private readonly int[] _sourceRows;
    private Beam[] _runningBeams;
    private Beam[] _finishedBeams;
    private bool _canImprove = true;
    private int _generatedLength;

    /// <param name="Tokens">The new tokens.</param>
    private sealed record Beam(long[] Tokens, float Score, bool IsFinished);

    /// <param name="prompt">The row's tokens, without padding.</param>
    /// <param name="encoderTokens">The tokens of the row's encoder, without padding; null if the model has none.</param>
    public BeamSearchDecoder(ResolvedGenerationOptions options, long[] prompt, long[]? encoderTokens, RowRandomGenerator random,
        StopStringCriteria? stopCriteria)
    {
        (_options, _prompt, _random, _stopCriteria) = (options, prompt, random, stopCriteria);
        _logitsProcessors = LogitsProcessorList.Create(options, encoderTokens);
        // all beams begin with the same tokens: only the first can have successors
        _runningBeams = [.. Enumerable.Range(0, RowCount).Select(beam => new Beam([], beam == 0 ? 0 : ExcludedScore, false))];
        _finishedBeams = [.. Enumerable.Range(0, RowCount).Select(_ => new Beam([], ExcludedScore, false))];
        (NextTokens, _sourceRows) = (new long[RowCount], [.. Enumerable.Range(0, RowCount)]);
        HasEnded = options.MaxNewTokens == 0;
    }

    public int RowCount => _options.NumBeams;

    public bool NeedsScores => true;

    public bool HasEnded { get; private set; }

    public long[] NextTokens { get; }

    public IReadOnlyList<int> SourceRows => _sourceRows;

    /// <summary>The best finished sequences, then running ones where the generation stopped before enough had finished.</summary>
    public IReadOnlyList<IReadOnlyList<long>> Sequences =>
        [.. _finishedBeams.Where(b => b.IsFinished).Concat(_runningBeams).Take(_options.SequencesPerInput).Select(b => b.Tokens)];

    public void SelectTokens(Span<float> scores, int vocabSize, Action? betweenParts = null)
    {
        if (HasEnded)
        {
            Array.Fill(NextTokens, _options.PadTokenId);
            for (int beam = 0; beam < RowCount; beam++) _sourceRows[beam] = beam;
            return;
        }
        ProcessScores(scores, vocabSize, betweenParts);                                             // 1
        (int Index, float Score)[] best = SelectCandidates(scores, vocabSize, betweenParts);        // 2
        Beam[] candidates = Array.ConvertAll(best, c =>
        {
            betweenParts?.Invoke();
            return ExtendBeam(_runningBeams[c.Index / vocabSize], c.Index % vocabSize, c.Score);
        });
        UpdateRunningBeams(best, candidates, vocabSize);                                            // 3
        UpdateFinishedBeams(candidates);                                                            // 4
        _generatedLength++;
        HasEnded = IsSearchFinished(candidates);                                                    // 5
    }

    public void CommitTokens() { }

    private void ProcessScores(Span<float> scores, int vocabSize, Action? betweenParts)
    {
        for (int beam = 0; beam < RowCount; beam++)
        {
            betweenParts?.Invoke();
            Span<float> row = scores.Slice(beam * vocabSize, vocabSize);
            if (!_options.Values.RemoveInvalidValues || IsDistribution(row)) ScoreRanking.LogSoftmax(row);
            else row.Fill(float.NaN); // as log_softmax in PyTorch; the processor that removes invalid values comes later
            long[] tokens = [.. _prompt, .. _runningBeams[beam].Tokens];
            foreach (ILogitsProcessor processor in _logitsProcessors) processor.Apply(tokens, _prompt.Length, row);
            System.Numerics.Tensors.TensorPrimitives.Add(row, _runningBeams[beam].Score, row);
        }
    }

    private static bool IsDistribution(ReadOnlySpan<float> scores) =>
        float.IsFinite(System.Numerics.Tensors.TensorPrimitives.Max(scores));

    private (int Index, float Score)[] SelectCandidates(Span<float> scores, int vocabSize, Action? betweenParts)
    {
        TokenSampler.MaxScore(scores); // an error if the options exclude every token of every beam
        int endCount = _options.EosTokenIds.Count(id => id < vocabSize); // no candidate ends with another one
        int count = Math.Min(Math.Max(2, 1 + endCount) * RowCount, scores.Length);
        if (!_options.DoSample) return TopKSelector.Select(scores, count);
        var drawn = new List<(int, float)>(count);
        for (int draw = 0; draw < count && System.Numerics.Tensors.TensorPrimitives.Max<float>(scores) > float.NegativeInfinity; draw++)
        {
            betweenParts?.Invoke();
            int index = TokenSampler.Sample(scores, _random.UniformAt(_generatedLength, draw));
            drawn.Add((index, scores[index]));
            scores[index] = float.NegativeInfinity;
        }
        return [.. drawn];
    }

    private Beam ExtendBeam(Beam parent, int token, float score)
    {
        long[] tokens = [.. parent.Tokens, token];
        bool ends = tokens.Length >= _options.MaxNewTokens || _options.IsEnd(token)
            || (_stopCriteria is not null && _stopCriteria.IsCompletedBy((long[])[.. _prompt, .. tokens]));
        return new Beam(tokens, score, ends);
    }

    private void UpdateRunningBeams((int Index, float Score)[] best, Beam[] candidates, int vocabSize)
    {
        float[] scores = Array.ConvertAll(candidates, c => c.IsFinished ? c.Score + ExcludedScore : c.Score);
        int[] chosen = [.. TopKSelector.Select(scores, RowCount).Select(c => c.Index)];
        var next = new Beam[RowCount];
        for (int beam = 0; beam < RowCount; beam++)
        {
            // with fewer candidates than beams (a vocabulary of a few tokens) the last one is repeated with an excluding score
            int index = chosen[Math.Min(beam, chosen.Length - 1)];
            Beam candidate = candidates[index];
            bool isExcluded = candidate.IsFinished || beam >= chosen.Length;
            next[beam] = candidate with { IsFinished = false, Score = isExcluded ? candidate.Score + ExcludedScore : candidate.Score };
            (_sourceRows[beam], NextTokens[beam]) = (best[index].Index / vocabSize, candidate.Tokens[^1]);
        }
        _runningBeams = next;
    }

    private void UpdateFinishedBeams(Beam[] candidates)
    {
        bool isFull = _options.Values.EarlyStopping is EarlyStopping.WhenFull && _finishedBeams.All(b => b.IsFinished);
        if (isFull || !_canImprove) return;
        float length = (float)Math.Pow(_generatedLength + 1, _options.Values.LengthPenalty);
        IEnumerable<Beam> finished = candidates.Take(RowCount).Where(c => c.IsFinished).Select(c => c with { Score = c.Score / length });
        Beam[] merged = [.. _finishedBeams, .. finished];
        _finishedBeams = [.. TopKSelector.Select(Array.ConvertAll(merged, b => b.Score), RowCount).Select(b => merged[b.Index])];
    }

    private bool IsSearchFinished(Beam[] candidates)
    {
        int length = _options.Values is { EarlyStopping: EarlyStopping.Never, LengthPenalty: > 0 }
            ? _options.MaxNewTokens : _generatedLength;
        float possible = _runningBeams[0].Score / (float)Math.Pow(length, _options.Values.LengthPenalty);
        bool isFull = _finishedBeams.All(b => b.IsFinished);
        // as in Hugging Face: every sequence is an improvement until there are enough
        _canImprove = _canImprove && possible > (isFull ? _finishedBeams.Min(b => b.Score) : ExcludedScore);
        return !_canImprove || (isFull && _options.Values.EarlyStopping is EarlyStopping.WhenFull) || candidates.All(c => c.IsFinished);
    }
}
