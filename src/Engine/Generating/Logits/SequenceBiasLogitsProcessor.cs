using System.Runtime.ExceptionServices;
using Ndif.Protocol;

namespace Ndif.Engine.Generating.Logits;

/// <summary>
/// Adds a bias to the last token of each sequence whose other tokens end the row. Biases of the same token are added up. A sequence
/// longer than the row has no effect, even if the row has all of its other tokens, as in Hugging Face.
/// </summary>
/// <remarks>
/// SequenceBiasLogitsProcessor, NoBadWordsLogitsProcessor. The rows of a generation share one, whose sequences are sorted by their tokens
/// before the last one, read backwards: a step does not look at the sequences that do not fit. It takes 4 bytes for each token and 16 for
/// each sequence.
/// </remarks>
internal sealed class SequenceBiasLogitsProcessor : ILogitsProcessor
{
    private const int IdsPerPart = 4096;

    private readonly int[] _ids; // of all sequences, each backwards
    private readonly Sequence[] _sequences;

    /// <param name="biases">Of two biases of the same sequence, the later one applies.</param>
    /// <param name="onPart">Called each time after some thousand ids; it may throw.</param>
    public SequenceBiasLogitsProcessor(IEnumerable<(IReadOnlyList<long> Tokens, double Bias)> biases, Action? onPart = null)
    {
        List<int> ids = [];
        List<Sequence> sequences = [];
        int part = 0; // the ids since the last call
        foreach (var (tokens, bias) in biases)
        {
            sequences.Add(new Sequence(ids.Count, tokens.Count, sequences.Count, (float)bias));
            for (int i = tokens.Count - 1; i >= 0; i--)
            {
                Count(1);
                ids.Add((int)tokens[i]);
            }
        }
        (_ids, _sequences) = ([.. ids], [.. sequences]);
        try
        {
            Array.Sort(_sequences, (a, b) =>
            {
                Count(Math.Min(a.Length, b.Length));
                return Compare(a, b);
            });
        }
        catch (InvalidOperationException e) when (e.InnerException is { } inner)
        {
            ExceptionDispatchInfo.Throw(inner); // of the comparison
        }
        int count = 0;
        foreach (Sequence sequence in _sequences)
        {
            Count(sequence.Length);
            if (count > 0 && IdsOf(_sequences[count - 1]).SequenceEqual(IdsOf(sequence)))
                _sequences[count - 1] = _sequences[count - 1] with { Bias = sequence.Bias };
            else _sequences[count++] = sequence;
        }
        Array.Resize(ref _sequences, count);

        void Count(int more)
        {
            if ((part += more) < IdsPerPart) return;
            part = 0;
            onPart?.Invoke();
        }
    }

    /// <summary>Excludes sequences. One that is an end-of-sequence token alone is left out, so that rows can end.</summary>
    /// <param name="isEnd">Whether a token ends a row.</param>
    /// <param name="onPart">Called each time after some thousand ids; it may throw.</param>
    public static SequenceBiasLogitsProcessor Forbid(TokenRows sequences, Func<long, bool> isEnd, Action? onPart = null) =>
        new(sequences.Rows.Where(row => row.Ids.Count != 1 || !isEnd(row.Ids[0]))
            .Select(row => ((IReadOnlyList<long>)row.Ids, double.NegativeInfinity)), onPart);

    public void Apply(ReadOnlySpan<long> tokens, int promptLength, Span<float> scores)
    {
        List<Sequence> matches = [];
        int start = 0, end = _sequences.Length, lengthCount = 0;
        // all sequences from start to end have the last tokens of the row before their own last one; the shortest are first
        for (int length = 1; start < end; length++)
        {
            int first = start;
            while (start < end && _sequences[start].Length == length) matches.Add(_sequences[start++]);
            if (start > first) lengthCount++;
            if (length >= tokens.Length) break;
            long token = tokens[^length];
            start = FindFirst(start, end, length, token);
            end = FindFirst(start, end, length, token + 1);
        }
        if (lengthCount > 1) matches.Sort(CompareMatches); // those of one length are sorted by their last tokens, which differ
        for (int i = 0; i < matches.Count;)
        {
            int token = LastOf(matches[i]);
            float sum = 0;
            for (; i < matches.Count && LastOf(matches[i]) == token; i++) sum += matches[i].Bias;
            scores[token] += sum;
        }
    }

    /// <summary>By token, and for one token in Hugging Face's order of the sum: sequences of one token, then the others.</summary>
    private int CompareMatches(Sequence a, Sequence b)
    {
        int order = LastOf(a).CompareTo(LastOf(b));
        if (order == 0) order = (a.Length > 1).CompareTo(b.Length > 1);
        return order == 0 ? a.Order.CompareTo(b.Order) : order;
    }

    private int Compare(Sequence a, Sequence b)
    {
        int order = IdsOf(a)[1..].SequenceCompareTo(IdsOf(b)[1..]);
        if (order == 0) order = LastOf(a).CompareTo(LastOf(b));
        return order == 0 ? a.Order.CompareTo(b.Order) : order;
    }

    /// <summary>The first of some sequences whose token at a place, counted from the end, is at least a token.</summary>
    private int FindFirst(int start, int end, int place, long token)
    {
        while (start < end)
        {
            int middle = start + (end - start) / 2;
            if (_ids[_sequences[middle].Start + place] < token) start = middle + 1;
            else end = middle;
        }
        return start;
    }

    private ReadOnlySpan<int> IdsOf(Sequence sequence) => _ids.AsSpan(sequence.Start, sequence.Length);

    private int LastOf(Sequence sequence) => _ids[sequence.Start];

    /// <param name="Start">The place of its last token in the ids of all sequences.</param>
    /// <param name="Order">Its place among all sequences.</param>
    private readonly record struct Sequence(int Start, int Length, int Order, float Bias);
}
