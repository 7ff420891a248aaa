namespace Ndif.Worker.Residency;

/// <summary>A model that may make room for another, as far as choosing among them goes.</summary>
internal readonly record struct EvictionCandidate<T>(T Model, long Bytes, DateTimeOffset LastUsed);

/// <summary>Which models go so that another fits.</summary>
internal static class EvictionPolicy
{
    /// <summary>
    /// The least recently used, as many as it takes; of these, those that the last ones made superfluous stay.
    /// </summary>
    /// <param name="requiredBytes">What is needed.</param>
    /// <param name="freeBytes">What there is; below 0 if more is taken than the budget has.</param>
    /// <returns>None if it fits as it is; null if it does not fit even without all of these.</returns>
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
