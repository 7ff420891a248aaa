namespace Ndif.Dictionaries.Dashboards;

/// <summary>What is known of a feature after some texts, in memory that does not grow with them.</summary>
internal sealed class FeatureStatistics(int examples, int context)
{
    private readonly PriorityQueue<Example, double> _best = new();
    private long _active;

    public double MaxActivation { get; private set; }

    public ActivationHistogram Histogram { get; } = new();

    /// <summary>Takes in a text.</summary>
    /// <param name="activations">One for each token.</param>
    public void Add(int text, IReadOnlyList<int> tokens, ReadOnlySpan<float> activations)
    {
        int best = -1;
        for (int position = 0; position < activations.Length; position++)
        {
            if (activations[position] is not > 0) continue;
            _active++;
            Histogram.Add(activations[position]);
            if (best < 0 || activations[position] > activations[best]) best = position;
        }
        if (best < 0) return;
        MaxActivation = Math.Max(MaxActivation, activations[best]);
        if (_best.Count == examples && (examples == 0 || activations[best] <= _best.Peek().Activation)) return;
        int first = Math.Max(0, best - context), end = Math.Min(activations.Length, best + context + 1);
        _best.Enqueue(new Example(text, best, activations[best], first, [.. tokens.Skip(first).Take(end - first)],
            activations[first..end].ToArray()), activations[best]);
        if (_best.Count > examples) _best.Dequeue();
    }

    public double GetDensity(long tokens) => tokens == 0 ? 0 : (double)_active / tokens;

    /// <summary>The examples, highest activation first; equal ones in the order of their texts.</summary>
    public IReadOnlyList<ActivationExample> GetExamples(Func<int, string> decode) =>
        [.. _best.UnorderedItems.Select(item => item.Element)
            .OrderByDescending(example => example.Activation).ThenBy(example => example.Text)
            .Select(example => new ActivationExample(example.Text, example.Position, example.Activation, example.First,
                [.. example.Tokens.Select(decode)], [.. example.Activations.Select(value => (double)value)]))];

    private sealed record Example(int Text, int Position, float Activation, int First, int[] Tokens, float[] Activations);
}
