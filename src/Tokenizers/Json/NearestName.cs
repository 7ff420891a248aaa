namespace Ndif.Tokenizers.Json;

/// <summary>Suggests the valid name that is nearest to an unknown name.</summary>
internal static class NearestName
{
    /// <summary>
    /// Returns <c>; did you mean '...'?</c>, or an empty string if no name has an edit distance of at most a third of the length.
    /// </summary>
    public static string Hint(string name, IEnumerable<string> names)
    {
        if (name.Length > 100) return "";
        var best = names.Where(known => known.Length <= 100)
            .Select(known => (known, distance: Distance(name, known)))
            .OrderBy(candidate => candidate.distance)
            .FirstOrDefault();
        return best.known is not null && best.distance <= Math.Max(1, (name.Length + 1) / 3) ? $"; did you mean '{best.known}'?" : "";
    }

    /// <summary>The Levenshtein distance, ignoring case.</summary>
    private static int Distance(string a, string b)
    {
        int[] previous = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int[] current = new int[b.Length + 1];
            current[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replace = previous[j - 1] + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                current[j] = Math.Min(replace, Math.Min(previous[j], current[j - 1]) + 1);
            }
            previous = current;
        }
        return previous[^1];
    }
}
