namespace Ndif.Engine.Generating.Scores;

/// <summary>No end of text before so many new tokens.</summary>
/// <remarks>MinNewTokensLengthLogitsProcessor</remarks>
internal sealed class MinNewTokens(int least, IReadOnlyList<long> eos) : IScoreRule
{
    public void Apply(ReadOnlySpan<long> tokens, int prompt, Span<float> scores)
    {
        if (tokens.Length - prompt >= least) return;
        foreach (long end in eos)
            if (end < scores.Length) scores[(int)end] = float.NegativeInfinity;
    }
}
