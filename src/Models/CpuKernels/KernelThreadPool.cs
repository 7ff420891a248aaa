using System.Diagnostics;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// A fixed set of threads that run one parallel loop at a time. A stage of a layer takes 10 to 100 us, and waking threads of the
/// .NET thread pool would lengthen it by half.
/// <code>
///   parts:        0 1 2 3 | 4 5 6 7 | 8 9 ...         one contiguous range per thread
///   thread:       worker 0  worker 1  caller          each claims parts of its own range, then of the next ranges
/// </code>
/// 1. The caller publishes a <see cref="ParallelWork"/> and wakes the worker threads that are asleep.
/// 2. The caller and the workers claim parts, each in its own range first, so that memory is read sequentially.
/// 3. A thread that has finished its range claims parts of the others. A worker that is asleep or preempted does not delay the others.
/// 4. The caller waits until every part has completed.
/// 5. Between two loops a worker prefetches the next weight (<see cref="WeightPrefetcher"/>), spins, and finally sleeps.
/// </summary>
/// <remarks>
/// A caller that finds the pool busy runs its whole loop itself. <see cref="SiteHook.OnPreemptionPoint"/> runs between two parts on the
/// calling thread. It may throw to end the pass, or run other loops: the workers then leave this one, and return to it after them.
/// </remarks>
internal static class KernelThreadPool
{
    /// <summary>How long a worker spins before it sleeps: longer than the time between two tokens.</summary>
    private static readonly long _spinTicks = Stopwatch.Frequency / 4000;

    private static readonly Lock _busy = new();
    private static WorkerThread[]? _workers;
    private static volatile ParallelWork? _currentWork;

    /// <summary>The number of threads that run a loop, the caller included: one for each core that libtorch uses.</summary>
    public static int ThreadCount { get; } = Math.Max(1, Math.Min(TorchSharp.torch.get_num_threads(), Environment.ProcessorCount));

    /// <summary>Runs <paramref name="body"/> for every part and returns when all have completed.</summary>
    /// <param name="weightAddress">The weight that the loop streams from memory, or 0 if it streams none.</param>
    public static void ParallelFor(int parts, Action<int> body, nint weightAddress = 0)
    {
        if (parts > 1 && ThreadCount > 1 && _busy.TryEnter())
        {
            ParallelWork? interrupted = _currentWork;
            var work = new ParallelWork(body, parts); // 1
            WorkerThread[] workers = _workers ??= [.. Enumerable.Range(0, ThreadCount - 1).Select(WorkerThread.Start)];
            try
            {
                if (weightAddress != 0) WeightPrefetcher.BeginWeight(weightAddress);
                _currentWork = work;
                foreach (WorkerThread worker in workers) worker.Wake();
                // 2, 3: the caller takes the last range, because a worker may have prefetched the start of the first one
                work.RunParts(ThreadCount - 1, SiteHook.OnPreemptionPoint);
                work.WaitForCompleted(parts); // 4
            }
            catch
            {
                work.Abandon();
                throw;
            }
            finally
            {
                _currentWork = interrupted;
                if (interrupted is not null)
                    foreach (WorkerThread worker in workers) worker.Wake();
                _busy.Exit();
            }
        }
        else
        {
            for (int i = 0; i < parts; i++)
            {
                if (i > 0) SiteHook.OnPreemptionPoint();
                body(i);
            }
        }
    }

    /// <summary>The parts of one loop, divided into as many contiguous ranges as there are threads.</summary>
    private sealed class ParallelWork(Action<int> body, int parts)
    {
        private const int CounterStride = 32; // in ints: each counter has its own cache lines, because different threads write them

        private readonly int[] _claimed = new int[ThreadCount * CounterStride];
        private int _completed;

        public bool HasMore
        {
            get
            {
                for (int range = 0; range < ThreadCount; range++)
                    if (Volatile.Read(ref _claimed[range * CounterStride]) < RangeLength(range)) return true;
                return false;
            }
        }

        /// <summary>
        /// Claims and runs parts until none is left, starting in <paramref name="ownRange"/>. A worker leaves when another loop begins.
        /// </summary>
        /// <param name="betweenParts">Called after each part; null for a worker.</param>
        public void RunParts(int ownRange, Action? betweenParts = null)
        {
            for (int i = 0; i < ThreadCount; i++)
            {
                int range = (ownRange + i) % ThreadCount;
                while (Interlocked.Increment(ref _claimed[range * CounterStride]) - 1 is var part && part < RangeLength(range))
                {
                    try
                    {
                        body(RangeStart(range) + part);
                    }
                    finally
                    {
                        Interlocked.Increment(ref _completed);
                    }
                    if (betweenParts is not null) betweenParts();
                    else if (_currentWork != this) return;
                }
            }
        }

        /// <summary>Claims the parts that are still unclaimed without running them, and waits for those that are running.</summary>
        public void Abandon()
        {
            int started = 0;
            for (int range = 0; range < ThreadCount; range++)
            {
                int claimed = Interlocked.Exchange(ref _claimed[range * CounterStride], RangeLength(range));
                started += Math.Min(RangeLength(range), claimed);
            }
            WaitForCompleted(started);
        }

        /// <summary>Waits until <paramref name="count"/> parts have completed.</summary>
        public void WaitForCompleted(int count)
        {
            for (int attempts = 0; Volatile.Read(ref _completed) < count; attempts++)
            {
                if (attempts < 2000) Thread.SpinWait(2);
                else Thread.Yield(); // the thread that runs the part may be waiting for this core
            }
        }

        private int RangeStart(int range) => (int)((long)parts * range / ThreadCount);

        private int RangeLength(int range) => RangeStart(range + 1) - RangeStart(range);
    }

#pragma warning disable CA1001 // a worker thread lives as long as the process
    private sealed class WorkerThread(int range)
#pragma warning restore CA1001
    {
        private readonly ManualResetEventSlim _wake = new(false, 0);
        private volatile bool _isAsleep;

        public static WorkerThread Start(int range)
        {
            var worker = new WorkerThread(range);
            new Thread(worker.RunLoop) { IsBackground = true, Name = "cpu kernels" }.Start();
            return worker;
        }

        /// <summary>Wakes the thread if it sleeps. Called after the work was published.</summary>
        public void Wake()
        {
            Interlocked.MemoryBarrier();
            if (_isAsleep) _wake.Set();
        }

        private void RunLoop()
        {
            long idleSince = Stopwatch.GetTimestamp();
            while (true)
            {
                if (_currentWork is { HasMore: true } work) // 2, 3
                {
                    work.RunParts(range);
                    idleSince = Stopwatch.GetTimestamp();
                }
                else if (WeightPrefetcher.PrefetchNext()) // 5
                {
                }
                else if (Stopwatch.GetTimestamp() - idleSince < _spinTicks)
                {
                    Thread.SpinWait(2);
                }
                else
                {
                    _isAsleep = true;
                    Interlocked.MemoryBarrier();
                    if (_currentWork is not { HasMore: true }) _wake.Wait();
                    _wake.Reset();
                    _isAsleep = false;
                    idleSince = Stopwatch.GetTimestamp();
                }
            }
        }
    }
}
