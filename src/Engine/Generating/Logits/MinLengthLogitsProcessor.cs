namespace Ndif.Engine.Generating.Logits;

/// <summary>Excludes the end-of-sequence tokens until the row, prompt included, has a number of tokens.</summary>
/// <remarks>MinLengthLogitsProcessor</remarks>
internal sealed class MinLengthLogitsProcessor(int minLength, IReadOnlyList<long> eosTokenIds) : ILogitsProcessor
{
    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        if (tokens.Length >= minLength) return;
        foreach (long end in eosTokenIds)
            if (end < scores.Length) scores[(int)end] = float.NegativeInfinity;
    }
}
