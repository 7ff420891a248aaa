namespace Ndif.Engine.Generating.Logits;

/// <summary>No end of text before so many new tokens.</summary>
/// <remarks>MinNewTokensLengthLogitsProcessor</remarks>
internal sealed class MinNewTokensLogitsProcessor(int minNewTokens, IReadOnlyList<long> eosTokenIds) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (tokens.Length - promptLength >= minNewTokens) return;
        foreach (long end in eosTokenIds)
            if (end < scores.Length) scores[(int)end] = float.NegativeInfinity;
    }
}
