using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Adds a bias to the last token of each sequence whose other tokens end the row. Biases of the same token are added up. A sequence
/// longer than the row has no effect, even if the row has all of its other tokens, as in Hugging Face.
/// </summary>
/// <remarks>SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor</remarks>
internal sealed class SequenceBiasLogitsProcessor : ILogitsProcessor
{
    private readonly (long[] Tokens, float Bias)[] _sequences;

    /// <param name="biases">Of two biases of the same sequence, the later one applies.</param>
    public SequenceBiasLogitsProcessor(IEnumerable<(IReadOnlyList<long> Tokens, double Bias)> biases)
    {
        OrderedDictionary<string, (long[] Tokens, float Bias)> sequences = [];
        foreach (var (tokens, bias) in biases) sequences[string.Join(' ', tokens)] = ([.. tokens], (float)bias);
        _sequences = [.. sequences.Values.OrderBy(sequence => sequence.Tokens.Length > 1)]; // Hugging Face's order of the sum
    }

    /// <summary>Excludes sequences. One that is an end-of-sequence token alone is left out, so that rows can end.</summary>
    public static SequenceBiasLogitsProcessor Forbid(TokenRows sequences, IReadOnlyList<long> eosTokenIds) =>
        new(sequences.Rows.Where(row => row.Ids.Count != 1 || !eosTokenIds.Contains(row.Ids[0]))
            .Select(row => ((IReadOnlyList<long>)row.Ids, double.NegativeInfinity)));

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        Dictionary<int, float> sums = [];
        foreach (var (sequence, bias) in _sequences)
        {
            ReadOnlySpan<long> others = sequence.AsSpan(..^1);
            if (others.Length > 0 && (sequence.Length > tokens.Length || !tokens.EndsWith(others))) continue;
            int last = (int)sequence[^1];
            sums[last] = sums.GetValueOrDefault(last) + bias;
        }
        foreach (var (token, bias) in sums) scores[token] += bias;
    }
}
