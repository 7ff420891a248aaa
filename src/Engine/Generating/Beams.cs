using Ndif.Engine.Generating.Scores;
using Ndif.Protocol;

namespace Ndif.Engine.Generating;

/// <summary>
/// A beam search from one row: its rows are the best unfinished sequences so far, and beside them it keeps the best finished ones.
/// 1. Each beam's scores become log probabilities, go through the rules, and are added to what the beam has.
/// 2. The best candidates of all beams together, so many that enough of them do not end (or as many draws without putting back).
/// 3. Those that do not end become the beams: a beam may have several children, or none.
/// 4. Those among the best that end are finished: their score, divided by their length to the power of the length penalty, takes its
///    place among the finished ones, if there is one.
/// 5. It is over when no running beam can become better than the worst finished one (or earlier, or later, as asked for).
/// </summary>
/// <remarks>_beam_search and its parts in transformers/generation/utils.py, in float32 as there; each row of a batch ends on its own.</remarks>
internal sealed class Beams : IContinuation
{
    /// <summary>What a score gets that must not be chosen while there is any other.</summary>
    private const float Worst = -1e9f;

    private readonly GenerationOptions _options;
    private readonly long[] _prompt;
    private readonly RowRandom _random;
    private readonly StopStrings? _stops;
    private readonly IScoreRule[] _rules;
    private readonly int[] _from;
    private Beam[] _running;
    private Beam[] _finished;
    private bool _canImprove = true;
    private int _made;

    /// <param name="Tokens">The new ones.</param>
    private sealed record Beam(long[] Tokens, float Score, bool IsFinished);

    /// <param name="prompt">The row's tokens, without padding.</param>
    public Beams(GenerationOptions options, long[] prompt, RowRandom random, StopStrings? stops)
    {
        (_options, _prompt, _random, _stops, _rules) = (options, prompt, random, stops, ScoreRules.Of(options));
        // all beams begin the same: only the first may have children
        _running = [.. Enumerable.Range(0, Rows).Select(beam => new Beam([], beam == 0 ? 0 : Worst, false))];
        _finished = [.. Enumerable.Range(0, Rows).Select(_ => new Beam([], Worst, false))];
        (Next, _from) = (new long[Rows], [.. Enumerable.Range(0, Rows)]);
        HasEnded = options.MaxNewTokens == 0;
    }

    public int Rows => _options.Beams;

    public bool NeedsScores => true;

    public bool HasEnded { get; private set; }

    public long[] Next { get; }

    public IReadOnlyList<int> From => _from;

    /// <summary>The best finished sequences; running ones where the generation was stopped before there were enough.</summary>
    public IReadOnlyList<IReadOnlyList<long>> Results =>
        [.. _finished.Where(b => b.IsFinished).Concat(_running).Take(_options.Results).Select(b => b.Tokens)];

    public void Choose(Span<float> scores, int vocabulary)
    {
        if (HasEnded)
        {
            Array.Fill(Next, _options.Pad);
            for (int beam = 0; beam < Rows; beam++) _from[beam] = beam;
            return;
        }
        Continue(scores, vocabulary);                                               // 1
        (int Index, float Score)[] best = Candidates(scores);                       // 2
        Beam[] candidates = Array.ConvertAll(best, c => Child(_running[c.Index / vocabulary], c.Index % vocabulary, c.Score));
        Run(best, candidates, vocabulary);                                          // 3
        Finish(candidates);                                                         // 4
        _made++;
        HasEnded = IsOver(candidates);                                              // 5
    }

    public void Take() { }

    private void Continue(Span<float> scores, int vocabulary)
    {
        for (int beam = 0; beam < Rows; beam++)
        {
            Span<float> row = scores.Slice(beam * vocabulary, vocabulary);
            Ranking.LogSoftmax(row);
            long[] tokens = [.. _prompt, .. _running[beam].Tokens];
            foreach (IScoreRule rule in _rules) rule.Apply(tokens, _prompt.Length, row);
            System.Numerics.Tensors.TensorPrimitives.Add(row, _running[beam].Score, row);
        }
    }

    private (int Index, float Score)[] Candidates(Span<float> scores)
    {
        int count = Math.Min(Math.Max(2, 1 + _options.Eos.Count) * Rows, scores.Length);
        if (!_options.Sample) return Largest.Of(scores, count);
        var drawn = new List<(int, float)>(count);
        for (int draw = 0; draw < count && System.Numerics.Tensors.TensorPrimitives.Max<float>(scores) > float.NegativeInfinity; draw++)
        {
            int index = Choice.Draw(scores, _random.At(_made, draw));
            drawn.Add((index, scores[index]));
            scores[index] = float.NegativeInfinity;
        }
        return [.. drawn];
    }

    private Beam Child(Beam parent, int token, float score)
    {
        long[] tokens = [.. parent.Tokens, token];
        bool ends = tokens.Length >= _options.MaxNewTokens || _options.Eos.Contains(token)
            || (_stops is not null && _stops.EndsIn((long[])[.. _prompt, .. tokens]));
        return new Beam(tokens, score, ends);
    }

    private void Run((int Index, float Score)[] best, Beam[] candidates, int vocabulary)
    {
        int[] chosen = [.. Largest.Of(Array.ConvertAll(candidates, c => c.IsFinished ? c.Score + Worst : c.Score), Rows).Select(c => c.Index)];
        var next = new Beam[Rows];
        for (int beam = 0; beam < Rows; beam++)
        {
            // with fewer candidates than beams (a vocabulary of a few tokens) the last is there again, out of the running
            int at = chosen[Math.Min(beam, chosen.Length - 1)];
            Beam child = candidates[at];
            next[beam] = child with { IsFinished = false, Score = child.IsFinished || beam >= chosen.Length ? child.Score + Worst : child.Score };
            (_from[beam], Next[beam]) = (best[at].Index / vocabulary, child.Tokens[^1]);
        }
        _running = next;
    }

    private void Finish(Beam[] candidates)
    {
        bool isFull = _options.EarlyStopping is EarlyStopping.WhenFull && _finished.All(b => b.IsFinished);
        if (isFull || !_canImprove) return;
        float length = (float)Math.Pow(_made + 1, _options.LengthPenalty);
        Beam[] merged = [.. _finished, .. candidates.Take(Rows).Where(c => c.IsFinished).Select(c => c with { Score = c.Score / length })];
        _finished = [.. Largest.Of(Array.ConvertAll(merged, b => b.Score), Rows).Select(b => merged[b.Index])];
    }

    private bool IsOver(Beam[] candidates)
    {
        int length = _options is { EarlyStopping: EarlyStopping.Never, LengthPenalty: > 0 } ? _options.MaxNewTokens : _made;
        float possible = _running[0].Score / (float)Math.Pow(length, _options.LengthPenalty);
        bool all = _finished.All(b => b.IsFinished);
        // as there: while one place is empty, anything is an improvement
        _canImprove = _canImprove && possible > (all ? _finished.Min(b => b.Score) : Worst);
        return !_canImprove || (all && _options.EarlyStopping is EarlyStopping.WhenFull) || candidates.All(c => c.IsFinished);
    }
}
