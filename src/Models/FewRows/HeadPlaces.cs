namespace Ndif.Models;

/// <summary>Where heads stand among the numbers that the projections give for one token.</summary>
/// <param name="Share">Query heads that lie together, before Step numbers on the next come.</param>
/// <param name="Width">Of a head.</param>
/// <param name="FirstKey">Of the first key-value head.</param>
/// <param name="FirstValue">Of the first key-value head.</param>
/// <param name="KeyStep">From one key-value head to the next.</param>
/// <param name="Total">Of all numbers.</param>
internal sealed record HeadPlaces(int Share, long Step, int Width, long FirstKey, long FirstValue, long KeyStep, long Total)
{
    /// <summary>All queries, all keys, all values.</summary>
    public static HeadPlaces Apart(int heads, int groups, int width) =>
        new(heads, 0, width, (long)heads * width, ((long)heads + groups) * width, width, ((long)heads + 2L * groups) * width);

    /// <summary>Each head's query, key and value beside each other.</summary>
    public static HeadPlaces Beside(int heads, int width) => new(1, 3L * width, width, width, 2L * width, 3L * width, 3L * heads * width);

    /// <summary>Each key-value head behind the queries that it serves.</summary>
    public static HeadPlaces Grouped(int heads, int groups, int width)
    {
        int share = Math.Max(1, heads / Math.Max(1, groups));
        long step = (share + 2L) * width;
        return new(share, step, width, (long)share * width, (share + 1L) * width, step, groups * step);
    }

    public long Query(int head) => head / Share * Step + (long)(head % Share) * Width;

    public long Key(int group) => FirstKey + group * KeyStep;

    public long Value(int group) => FirstValue + group * KeyStep;
}
