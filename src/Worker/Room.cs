namespace Ndif.Worker;

/// <summary>A model that may make room for another, as far as choosing among them goes.</summary>
internal readonly record struct Evictable<T>(T Model, long Bytes, DateTimeOffset LastUsed);

/// <summary>Which models go so that another fits.</summary>
internal static class Room
{
    /// <summary>
    /// The least recently used, as many as it takes; of these, those that the last ones made superfluous stay.
    /// </summary>
    /// <param name="bytes">What is needed.</param>
    /// <param name="free">What there is; below 0 if more is taken than the budget has.</param>
    /// <returns>None if it fits as it is; null if it does not fit even without all of these.</returns>
    public static IReadOnlyList<T>? For<T>(long bytes, long free, IEnumerable<Evictable<T>> evictable)
    {
        List<Evictable<T>> gone = [];
        foreach (Evictable<T> oldest in evictable.OrderBy(e => e.LastUsed))
        {
            if (free >= bytes) break;
            gone.Add(oldest);
            free += oldest.Bytes;
        }
        if (free < bytes) return null;
        for (int i = gone.Count - 1; i >= 0; i--)
        {
            if (free - gone[i].Bytes < bytes) continue;
            free -= gone[i].Bytes;
            gone.RemoveAt(i);
        }
        return [.. gone.Select(e => e.Model)];
    }
}
