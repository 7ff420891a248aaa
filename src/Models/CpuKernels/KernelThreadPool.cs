using System.Diagnostics;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// Threads that share a short piece of work: a stage of a layer takes some 10 to 100 us, which a thread pool's wake-up would lengthen by
/// half. A piece is cut into parts, and whoever is free takes another, so that a thread that is asleep, or that another process keeps from
/// its core, holds nobody up. One piece at a time; who comes while they are busy does all of it alone. Between two pieces they fetch the
/// weight that will be needed next (<see cref="WeightPrefetcher"/>). Between two parts the pass may be ended (<see cref="SiteHook.CheckCancellation"/>).
/// </summary>
internal static class KernelThreadPool
{
    /// <summary>How long a thread waits actively for the next piece: longer than what lies between two tokens.</summary>
    private static readonly long _spinTicks = Stopwatch.Frequency / 4000;

    private static readonly Lock _busy = new();
    private static WorkerThread[]? _workers;
    private static volatile ParallelWork? _currentWork;

    /// <summary>How many can work at a time: one for each core that libtorch uses too.</summary>
    public static int ThreadCount { get; } = Math.Max(1, Math.Min(TorchSharp.torch.get_num_threads(), Environment.ProcessorCount));

    /// <summary>Runs every part, and returns when all are done.</summary>
    /// <param name="weightAddress">The address of what is read from memory meanwhile, if that is much.</param>
    public static void ParallelFor(int parts, Action<int> body, nint weightAddress = 0)
    {
        if (parts > 1 && ThreadCount > 1 && _busy.TryEnter())
        {
            try
            {
                if (weightAddress != 0) WeightPrefetcher.BeginWeight(weightAddress);
                WorkerThread[] helpers = _workers ??= [.. Enumerable.Range(0, ThreadCount - 1).Select(WorkerThread.Start)];
                var piece = new ParallelWork(body, parts);
                _currentWork = piece;
                foreach (WorkerThread helper in helpers) helper.Wake();
                piece.RunParts(ThreadCount - 1, SiteHook.CheckCancellation); // the first range's beginning may be in a helper's cache already (Trail)
                piece.WaitForCompleted(parts);
            }
            catch
            {
                _currentWork?.Abandon();
                throw;
            }
            finally
            {
                _currentWork = null;
                _busy.Exit();
            }
        }
        else
        {
            for (int i = 0; i < parts; i++)
            {
                if (i > 0) SiteHook.CheckCancellation();
                body(i);
            }
        }
    }

    /// <summary>
    /// Parts in ranges of their own, as many as there are threads: what lies one after the other in memory is read so. Who is done with
    /// his range helps with the next.
    /// </summary>
    private sealed class ParallelWork(Action<int> body, int parts)
    {
        private const int CounterStride = 32; // counters that different threads write lie on cache lines of their own

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

        /// <summary>Does parts until none is left.</summary>
        /// <param name="betweenParts">Called between two of them.</param>
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
                    betweenParts?.Invoke();
                }
            }
        }

        /// <summary>Takes the parts that nobody has taken yet, does none of them, and waits for the others.</summary>
        public void Abandon()
        {
            int taken = 0;
            for (int range = 0; range < ThreadCount; range++) taken += Math.Min(RangeLength(range), Interlocked.Exchange(ref _claimed[range * CounterStride], RangeLength(range)));
            WaitForCompleted(taken);
        }

        /// <summary>Waits until so many parts are done.</summary>
        public void WaitForCompleted(int count)
        {
            for (int turns = 0; Volatile.Read(ref _completed) < count; turns++)
            {
                if (turns < 2000) Thread.SpinWait(2);
                else Thread.Yield(); // its thread may wait for this core
            }
        }

        private int RangeStart(int range) => (int)((long)parts * range / ThreadCount);

        private int RangeLength(int range) => RangeStart(range + 1) - RangeStart(range);
    }

#pragma warning disable CA1001 // lives as long as the process
    private sealed class WorkerThread(int range)
#pragma warning restore CA1001
    {
        private readonly ManualResetEventSlim _wake = new(false, 0);
        private volatile bool _isAsleep;

        public static WorkerThread Start(int range)
        {
            var helper = new WorkerThread(range);
            new Thread(helper.RunLoop) { IsBackground = true, Name = "few rows" }.Start();
            return helper;
        }

        /// <summary>After the piece was laid out.</summary>
        public void Wake()
        {
            Interlocked.MemoryBarrier();
            if (_isAsleep) _wake.Set();
        }

        private void RunLoop()
        {
            long since = Stopwatch.GetTimestamp();
            while (true)
            {
                if (_currentWork is { HasMore: true } piece)
                {
                    piece.RunParts(range);
                    since = Stopwatch.GetTimestamp();
                }
                else if (WeightPrefetcher.PrefetchNext())
                {
                }
                else if (Stopwatch.GetTimestamp() - since < _spinTicks)
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
                    since = Stopwatch.GetTimestamp();
                }
            }
        }
    }
}
