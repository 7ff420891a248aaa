using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Which weight comes after which: a pass goes through them as the last one did. Between two products the memory would be idle while one
/// thread norms, adds and allocates; a thread that has nothing to do meanwhile fetches the beginning of the next weight.
/// </summary>
/// <remarks>A guess that is wrong, or of a weight that is no longer there, costs nothing but the fetch: it reads nothing and cannot fault.</remarks>
internal static unsafe class WeightPrefetcher
{
    /// <summary>Half of a core's second cache.</summary>
    private const int MaxPrefetchBytes = 512 << 10;

    private const int StepBytes = 2048;

    private static readonly Dictionary<nint, nint> _successors = [];
    private static nint _current;
    private static long _position, _end;

    /// <summary>A product with this weight begins. One thread at a time.</summary>
    public static void BeginWeight(nint weight)
    {
        if (weight == _current) return;
        if (_successors.Count > 1 << 14) _successors.Clear(); // of models long gone
        _successors[_current] = weight;
        _current = weight;
        nint next = _successors.GetValueOrDefault(weight);
        Volatile.Write(ref _end, 0);
        Volatile.Write(ref _position, next);
        Volatile.Write(ref _end, next == 0 ? 0 : next + MaxPrefetchBytes);
    }

    /// <summary>Fetches a little of what comes next.</summary>
    /// <returns>False if there is nothing more to fetch.</returns>
    public static bool PrefetchNext()
    {
        if (!Sse.IsSupported || Volatile.Read(ref _position) >= Volatile.Read(ref _end)) return false;
        long at = Interlocked.Add(ref _position, StepBytes) - StepBytes;
        for (int i = 0; i < StepBytes; i += 64) Sse.Prefetch1((byte*)at + i);
        return true;
    }
}
