using Ndif.Engine.Generating.Scores;

namespace Ndif.Engine.Generating;

/// <summary>A row that goes on with one token after the other: the likeliest, or one that is drawn.</summary>
/// <param name="prompt">Its tokens, without padding.</param>
/// <param name="stops">Null if no text ends it.</param>
internal sealed class SingleRow(GenerationOptions options, long[] prompt, RowRandom random, StopStrings? stops) : IContinuation
{
    private static readonly int[] s_itself = [0];

    private readonly IScoreRule[] _rules = ScoreRules.Of(options);
    private readonly List<long> _tokens = [.. prompt];
    private readonly List<long> _new = [];

    public int Rows => 1;

    public bool NeedsScores => options.Sample || _rules.Length > 0;

    public bool HasEnded { get; private set; } = options.MaxNewTokens == 0;

    public long[] Next { get; } = [options.Pad];

    public IReadOnlyList<int> From => s_itself;

    public IReadOnlyList<IReadOnlyList<long>> Results => [_new];

    public void Choose(Span<float> scores, int vocabulary)
    {
        foreach (IScoreRule rule in _rules) rule.Apply(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_tokens), prompt.Length, scores);
        Next[0] = options.Sample ? Choice.Draw(scores, random.At(_new.Count)) : Choice.Likeliest(scores);
    }

    public void Take()
    {
        if (HasEnded)
        {
            Next[0] = options.Pad;
            return;
        }
        _tokens.Add(Next[0]);
        _new.Add(Next[0]);
        bool stopped = stops is not null && stops.Add(Next[0]);
        HasEnded = stopped || options.Eos.Contains(Next[0]) || _new.Count >= options.MaxNewTokens;
    }
}
