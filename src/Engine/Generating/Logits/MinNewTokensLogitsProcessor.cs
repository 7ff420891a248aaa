namespace Ndif.Engine.Generating.Logits;

/// <summary>Excludes the end-of-sequence tokens until the row has a number of new tokens.</summary>
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
