namespace Ndif.Engine.Generating.Logits;

/// <summary>Selects the largest scores without sorting all of them.</summary>
internal static class TopKSelector
{
    /// <returns>At most <paramref name="count"/> scores, the largest first; of equal ones, the one with the lower index is first.</returns>
    public static (int Index, float Score)[] Select(ReadOnlySpan<float> scores, int count)
    {
        // the top of the heap is the worst of the selected scores: the smallest, and of equal ones the last
        var heap = new PriorityQueue<int, (float Score, int Negative)>(count + 1);
        for (int i = 0; i < scores.Length; i++)
        {
            if (heap.Count < count) heap.Enqueue(i, (scores[i], -i));
            else if (heap.TryPeek(out _, out var worst) && scores[i] > worst.Score) heap.EnqueueDequeue(i, (scores[i], -i));
        }
        var best = new (int, float)[heap.Count];
        for (int i = best.Length - 1; i >= 0; i--)
        {
            int index = heap.Dequeue();
            best[i] = (index, scores[index]);
        }
        return best;
    }
}
