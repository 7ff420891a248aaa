using System.Runtime.Intrinsics.X86;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Predicts which weight is multiplied next, from the order of the last pass, and loads its beginning into the cache. Between two
/// products memory would be idle while one thread computes norms, adds residuals and allocates; an idle worker thread of
/// <see cref="KernelThreadPool"/> prefetches meanwhile.
/// </summary>
/// <remarks>
/// A wrong prediction, or the address of a weight that has been freed, costs only bandwidth: a prefetch instruction never faults.
/// </remarks>
internal static unsafe class WeightPrefetcher
{
    /// <summary>The bytes that are prefetched of a weight, at most: half of a core's second-level cache.</summary>
    private const int MaxPrefetchBytes = 512 << 10;

    private const int StepBytes = 2048;

    private static readonly Dictionary<nint, nint> _successors = [];
    private static nint _current;
    private static long _position, _end;

    /// <summary>Reports that a product with this weight begins. Called by one thread at a time.</summary>
    public static void BeginWeight(nint weight)
    {
        if (weight == _current) return;
        if (_successors.Count > 1 << 14) _successors.Clear(); // the addresses may be of models that have been unloaded
        _successors[_current] = weight;
        _current = weight;
        nint next = _successors.GetValueOrDefault(weight);
        Volatile.Write(ref _end, 0);
        Volatile.Write(ref _position, next);
        Volatile.Write(ref _end, next == 0 ? 0 : next + MaxPrefetchBytes);
    }

    /// <summary>Prefetches the next <see cref="StepBytes"/> of the predicted weight.</summary>
    /// <returns>False if nothing is left to prefetch.</returns>
    public static bool PrefetchNext()
    {
        if (!Sse.IsSupported || Volatile.Read(ref _position) >= Volatile.Read(ref _end)) return false;
        long at = Interlocked.Add(ref _position, StepBytes) - StepBytes;
        for (int i = 0; i < StepBytes; i += 64) Sse.Prefetch1((byte*)at + i);
        return true;
    }
}
