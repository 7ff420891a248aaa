using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Adds a bias to the last token of each sequence whose other tokens end the row. Biases of the same token are added up. A sequence
/// longer than the row has no effect, even if the row has all of its other tokens, as in Hugging Face.
/// </summary>
/// <remarks>
/// SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor. The rows of a generation share one, whose sequences are in a tree by their
/// tokens before the last one, read backwards: a step does not look at the sequences that do not fit.
/// </remarks>
internal sealed class SequenceBiasLogitsProcessor : ILogitsProcessor
{
    private readonly Node _root = new();

    /// <param name="biases">Of two biases of the same sequence, the later one applies.</param>
    public SequenceBiasLogitsProcessor(IEnumerable<(IReadOnlyList<long> Tokens, double Bias)> biases)
    {
        int order = 0;
        foreach (var (tokens, bias) in biases)
        {
            Node node = _root;
            for (int i = tokens.Count - 2; i >= 0; i--)
            {
                node.Before ??= [];
                if (!node.Before.TryGetValue(tokens[i], out Node? before)) node.Before[tokens[i]] = before = new Node();
                node = before;
            }
            node.Ends ??= [];
            int token = (int)tokens[^1], first = node.Ends.TryGetValue(token, out var earlier) ? earlier.Order : order++;
            node.Ends[token] = (first, (float)bias);
        }
    }

    /// <summary>Excludes sequences. One that is an end-of-sequence token alone is left out, so that rows can end.</summary>
    public static SequenceBiasLogitsProcessor Forbid(TokenRows sequences, IReadOnlyList<long> eosTokenIds) =>
        new(sequences.Rows.Where(row => row.Ids.Count != 1 || !eosTokenIds.Contains(row.Ids[0]))
            .Select(row => ((IReadOnlyList<long>)row.Ids, double.NegativeInfinity)));

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        List<(bool IsLong, int Order, int Token, float Bias)> matches = [];
        Node? node = _root;
        for (int length = 1; node is not null && length <= Math.Max(1, tokens.Length); length++) // of the sequences that end at the node
        {
            if (node.Ends is { } ends)
                foreach (var (token, (order, bias)) in ends) matches.Add((length > 1, order, token, bias));
            node = length <= tokens.Length ? node.Before?.GetValueOrDefault(tokens[^length]) : null;
        }
        matches.Sort((a, b) => (a.IsLong, a.Order).CompareTo((b.IsLong, b.Order))); // Hugging Face's order of the sum
        Dictionary<int, float> sums = [];
        foreach (var (_, _, token, bias) in matches) sums[token] = sums.GetValueOrDefault(token) + bias;
        foreach (var (token, bias) in sums) scores[token] += bias;
    }

    /// <summary>The sequences with the same tokens before the last one.</summary>
    private sealed class Node
    {
        /// <summary>The longer ones, by the token before those.</summary>
        public Dictionary<long, Node>? Before;

        /// <summary>Their last tokens, with the place among all sequences.</summary>
        public Dictionary<int, (int Order, float Bias)>? Ends;
    }
}
