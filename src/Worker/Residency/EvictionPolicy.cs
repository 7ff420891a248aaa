namespace Ndif.Worker.Residency;

/// <summary>Selects the models to evict so that another one fits: the least recently used.</summary>
internal static class EvictionPolicy
{
    /// <summary>
    /// Selects the least recently used models until the new model fits. Then removes from the selection, starting with the most recently
    /// used, each model that does not need to be evicted.
    /// </summary>
    /// <param name="requiredBytes">The bytes that the new model needs.</param>
    /// <param name="freeBytes">The free bytes; negative if the budget is exceeded.</param>
    /// <returns>Empty if the model fits already; null if it does not fit even if all candidates are evicted.</returns>
    public static IReadOnlyList<T>? SelectEvictions<T>(long requiredBytes, long freeBytes, IEnumerable<EvictionCandidate<T>> candidates)
    {
        List<EvictionCandidate<T>> selected = [];
        foreach (EvictionCandidate<T> candidate in candidates.OrderBy(e => e.LastUsed))
        {
            if (freeBytes >= requiredBytes) break;
            selected.Add(candidate);
            freeBytes += candidate.Bytes;
        }
        if (freeBytes < requiredBytes) return null;
        for (int i = selected.Count - 1; i >= 0; i--)
        {
            if (freeBytes - selected[i].Bytes < requiredBytes) continue;
            freeBytes -= selected[i].Bytes;
            selected.RemoveAt(i);
        }
        return [.. selected.Select(e => e.Model)];
    }
}
