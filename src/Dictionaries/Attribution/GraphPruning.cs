namespace Ndif.Dictionaries.Attribution;

/// <summary>Chooses the nodes and edges of a graph that stay.</summary>
/// <remarks>prune_graph in circuit_tracer/graph.py</remarks>
internal sealed class GraphPruning(AttributionGraph graph, float[]?[] rows)
{
    private readonly int _count = graph.Nodes.Count;

    public PrunedGraph Prune(double nodeThreshold, double edgeThreshold)
    {
        double[] logits = [.. graph.Nodes.Select(node => node.Kind is AttributionNodeKind.Logit ? node.Value : 0)];
        double[] influence = Influence.Compute(Influence.Normalize(rows), logits);
        double least = FindThreshold(influence, nodeThreshold);
        bool[] keeps = [.. graph.Nodes.Select((node, i) => influence[i] >= least || IsAlwaysKept(node))];

        float[]?[] pruned = [.. rows.Select((row, target) => row is null || !keeps[target] ? null
            : row.Select((weight, source) => keeps[source] ? weight : 0).ToArray())];
        double[]?[] normalized = Influence.Normalize(pruned);
        double[] targets = Influence.Compute(normalized, logits);
        for (int node = 0; node < _count; node++) targets[node] += logits[node];
        double[]?[] scores = [.. normalized.Select((row, target) => row is null ? null
            : Array.ConvertAll(row, weight => weight * targets[target]))];
        double leastEdge = FindThreshold(scores.Where(row => row is not null).SelectMany(row => row!), edgeThreshold);
        List<(int Source, int Target)> edges = [.. from target in Enumerable.Range(0, _count)
                                                   where scores[target] is not null
                                                   from source in Enumerable.Range(0, _count)
                                                   where scores[target]![source] > 0 && scores[target]![source] >= leastEdge
                                                   select (source, target)];
        RemoveLooseNodes(keeps, edges);
        double[] cumulative = Accumulate(influence);
        int[] kept = [.. Enumerable.Range(0, _count).Where(node => keeps[node])];
        return new PrunedGraph(graph, nodeThreshold, [.. kept.Select(node => graph.Nodes[node])],
            [.. kept.Select(node => cumulative[node])],
            [.. edges.Select(edge => new AttributionEdge(graph.Nodes[edge.Source], graph.Nodes[edge.Target],
                rows[edge.Target]![edge.Source]))]);
    }

    /// <summary>A feature needs incoming and outgoing edges, an error outgoing ones; without one of them, others may lose theirs.</summary>
    private void RemoveLooseNodes(bool[] keeps, List<(int Source, int Target)> edges)
    {
        bool hasChanged = true;
        while (hasChanged)
        {
            edges.RemoveAll(edge => !keeps[edge.Source] || !keeps[edge.Target]);
            HashSet<int> sources = [.. edges.Select(edge => edge.Source)], targets = [.. edges.Select(edge => edge.Target)];
            hasChanged = false;
            for (int node = 0; node < _count; node++)
            {
                AttributionNodeKind kind = graph.Nodes[node].Kind;
                bool isLoose = !IsAlwaysKept(graph.Nodes[node])
                    && (!sources.Contains(node) || (kind is AttributionNodeKind.Feature && !targets.Contains(node)));
                if (!keeps[node] || !isLoose) continue;
                keeps[node] = false;
                hasChanged = true;
            }
        }
    }

    private static bool IsAlwaysKept(AttributionNode node) => node.Kind is AttributionNodeKind.Embedding or AttributionNodeKind.Logit;

    /// <summary>The least score of the highest ones that together have a fraction of the sum.</summary>
    private static double FindThreshold(IEnumerable<double> scores, double fraction)
    {
        double[] sorted = [.. scores.Where(score => score > 0).OrderDescending()];
        double sum = sorted.Sum(), reached = 0;
        foreach (double score in sorted)
        {
            reached += score;
            if (reached >= fraction * sum) return score;
        }
        return sorted.LastOrDefault();
    }

    /// <summary>For each node, the fraction of the influence of it and of those with more.</summary>
    private static double[] Accumulate(double[] influence)
    {
        double[] cumulative = new double[influence.Length];
        double sum = influence.Sum(), reached = 0;
        foreach (int node in Enumerable.Range(0, influence.Length).OrderByDescending(node => influence[node]))
            cumulative[node] = sum == 0 ? 1 : (reached += influence[node]) / sum;
        return cumulative;
    }
}
