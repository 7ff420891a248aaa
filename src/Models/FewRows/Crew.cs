using System.Diagnostics;

namespace Ndif.Models;

/// <summary>
/// Threads that share a short piece of work: a stage of a layer takes some 10 to 100 us, which a thread pool's wake-up would lengthen by
/// half. A piece is cut into parts, and whoever is free takes another, so that a thread that is asleep, or that another process keeps from
/// its core, holds nobody up. One piece at a time; who comes while they are busy does all of it alone. Between two pieces they fetch the
/// weight that will be needed next (<see cref="Trail"/>). Between two parts the pass may be ended (<see cref="SiteObserver.Pause"/>).
/// </summary>
internal static class Crew
{
    /// <summary>How long a thread waits actively for the next piece: longer than what lies between two tokens.</summary>
    private static readonly long s_patience = Stopwatch.Frequency / 4000;

    private static readonly Lock s_busy = new();
    private static Helper[]? s_helpers;
    private static volatile Piece? s_piece;

    /// <summary>How many can work at a time: one for each core that libtorch uses too.</summary>
    public static int Size { get; } = Math.Max(1, Math.Min(TorchSharp.torch.get_num_threads(), Environment.ProcessorCount));

    /// <summary>Runs every part, and returns when all are done.</summary>
    /// <param name="weight">The address of what is read from memory meanwhile, if that is much.</param>
    public static void Run(int parts, Action<int> work, nint weight = 0)
    {
        if (parts > 1 && Size > 1 && s_busy.TryEnter())
        {
            try
            {
                if (weight != 0) Trail.Reach(weight);
                Helper[] helpers = s_helpers ??= [.. Enumerable.Range(0, Size - 1).Select(Helper.Start)];
                var piece = new Piece(work, parts);
                s_piece = piece;
                foreach (Helper helper in helpers) helper.Wake();
                piece.Share(Size - 1, SiteObserver.Pause); // the first range's beginning may be in a helper's cache already (Trail)
                piece.Wait(parts);
            }
            catch
            {
                s_piece?.Leave();
                throw;
            }
            finally
            {
                s_piece = null;
                s_busy.Exit();
            }
        }
        else
        {
            for (int i = 0; i < parts; i++)
            {
                if (i > 0) SiteObserver.Pause();
                work(i);
            }
        }
    }

    /// <summary>
    /// Parts in ranges of their own, as many as there are threads: what lies one after the other in memory is read so. Who is done with
    /// his range helps with the next.
    /// </summary>
    private sealed class Piece(Action<int> work, int parts)
    {
        private const int Apart = 32; // counters that different threads write lie on cache lines of their own

        private readonly int[] _taken = new int[Size * Apart];
        private int _done;

        public bool HasMore
        {
            get
            {
                for (int range = 0; range < Size; range++)
                    if (Volatile.Read(ref _taken[range * Apart]) < Length(range)) return true;
                return false;
            }
        }

        /// <summary>Does parts until none is left.</summary>
        /// <param name="between">Called between two of them.</param>
        public void Share(int own, Action? between = null)
        {
            for (int i = 0; i < Size; i++)
            {
                int range = (own + i) % Size;
                while (Interlocked.Increment(ref _taken[range * Apart]) - 1 is var part && part < Length(range))
                {
                    try
                    {
                        work(First(range) + part);
                    }
                    finally
                    {
                        Interlocked.Increment(ref _done);
                    }
                    between?.Invoke();
                }
            }
        }

        /// <summary>Takes the parts that nobody has taken yet, does none of them, and waits for the others.</summary>
        public void Leave()
        {
            int taken = 0;
            for (int range = 0; range < Size; range++) taken += Math.Min(Length(range), Interlocked.Exchange(ref _taken[range * Apart], Length(range)));
            Wait(taken);
        }

        /// <summary>Waits until so many parts are done.</summary>
        public void Wait(int count)
        {
            for (int turns = 0; Volatile.Read(ref _done) < count; turns++)
            {
                if (turns < 2000) Thread.SpinWait(2);
                else Thread.Yield(); // its thread may wait for this core
            }
        }

        private int First(int range) => (int)((long)parts * range / Size);

        private int Length(int range) => First(range + 1) - First(range);
    }

#pragma warning disable CA1001 // lives as long as the process
    private sealed class Helper(int range)
#pragma warning restore CA1001
    {
        private readonly ManualResetEventSlim _wake = new(false, 0);
        private volatile bool _asleep;

        public static Helper Start(int range)
        {
            var helper = new Helper(range);
            new Thread(helper.Serve) { IsBackground = true, Name = "few rows" }.Start();
            return helper;
        }

        /// <summary>After the piece was laid out.</summary>
        public void Wake()
        {
            Interlocked.MemoryBarrier();
            if (_asleep) _wake.Set();
        }

        private void Serve()
        {
            long since = Stopwatch.GetTimestamp();
            while (true)
            {
                if (s_piece is { HasMore: true } piece)
                {
                    piece.Share(range);
                    since = Stopwatch.GetTimestamp();
                }
                else if (Trail.FetchAhead())
                {
                }
                else if (Stopwatch.GetTimestamp() - since < s_patience)
                {
                    Thread.SpinWait(2);
                }
                else
                {
                    _asleep = true;
                    Interlocked.MemoryBarrier();
                    if (s_piece is not { HasMore: true }) _wake.Wait();
                    _wake.Reset();
                    _asleep = false;
                    since = Stopwatch.GetTimestamp();
                }
            }
        }
    }
}
