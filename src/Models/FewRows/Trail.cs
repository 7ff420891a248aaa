using System.Runtime.Intrinsics.X86;

namespace Ndif.Models;

/// <summary>
/// Which weight comes after which: a pass goes through them as the last one did. Between two products the memory would be idle while one
/// thread norms, adds and allocates; a thread that has nothing to do meanwhile fetches the beginning of the next weight.
/// </summary>
/// <remarks>A guess that is wrong, or of a weight that is no longer there, costs nothing but the fetch: it reads nothing and cannot fault.</remarks>
internal static unsafe class Trail
{
    /// <summary>Half of a core's second cache.</summary>
    private const int Most = 512 << 10;

    private const int Step = 2048;

    private static readonly Dictionary<nint, nint> s_next = [];
    private static nint s_last;
    private static long s_at, s_end;

    /// <summary>A product with this weight begins. One thread at a time.</summary>
    public static void Reach(nint weight)
    {
        if (weight == s_last) return;
        if (s_next.Count > 1 << 14) s_next.Clear(); // of models long gone
        s_next[s_last] = weight;
        s_last = weight;
        nint next = s_next.GetValueOrDefault(weight);
        Volatile.Write(ref s_end, 0);
        Volatile.Write(ref s_at, next);
        Volatile.Write(ref s_end, next == 0 ? 0 : next + Most);
    }

    /// <summary>Fetches a little of what comes next.</summary>
    /// <returns>False if there is nothing more to fetch.</returns>
    public static bool FetchAhead()
    {
        if (!Sse.IsSupported || Volatile.Read(ref s_at) >= Volatile.Read(ref s_end)) return false;
        long at = Interlocked.Add(ref s_at, Step) - Step;
        for (int i = 0; i < Step; i += 64) Sse.Prefetch1((byte*)at + i);
        return true;
    }
}
