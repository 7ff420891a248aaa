namespace Ndif.Dictionaries.Attribution;

/// <summary>How much nodes influence the logits, through all paths of a graph whose incoming weights have the sum 1.</summary>
/// <remarks>compute_influence in circuit_tracer/graph.py</remarks>
internal static class Influence
{
    /// <summary>The absolute weights of each row divided by their sum; null where a node has no incoming edges.</summary>
    public static double[]?[] Normalize(float[]?[] rows) => Array.ConvertAll(rows, row =>
    {
        if (row is null) return null;
        double sum = row.Sum(weight => Math.Abs((double)weight));
        return sum == 0 ? null : Array.ConvertAll(row, weight => Math.Abs((double)weight) / sum);
    });

    /// <summary>The influence of each node, where the logits have the weights that are given.</summary>
    /// <remarks>Every edge goes to a later layer, so that no path is longer than the graph has nodes.</remarks>
    public static double[] Compute(double[]?[] normalized, double[] start)
    {
        double[] influence = new double[start.Length], current = start;
        for (int step = 0; step <= start.Length; step++)
        {
            double[] next = new double[start.Length];
            bool isZero = true;
            for (int target = 0; target < start.Length; target++)
            {
                if (current[target] == 0 || normalized[target] is not { } row) continue;
                for (int source = 0; source < row.Length; source++) next[source] += current[target] * row[source];
                isZero = false;
            }
            if (isZero) break;
            for (int node = 0; node < influence.Length; node++) influence[node] += next[node];
            current = next;
        }
        return influence;
    }
}
