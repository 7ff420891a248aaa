using System.Diagnostics;

namespace Ndif.Models;

/// <summary>
/// Threads that share a short piece of work: a stage of a layer takes some 10 to 100 us, which a thread pool's wake-up would lengthen by
/// half. A piece is cut into parts, and whoever is free takes the next, so that a thread that is asleep, or that another process keeps from
/// its core, holds nobody up. One piece at a time; who comes while they are busy does all of it alone. Between two pieces they fetch the
/// weight that will be needed next (<see cref="Trail"/>).
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
                Helper[] helpers = s_helpers ??= [.. Enumerable.Range(1, Size - 1).Select(_ => new Helper())];
                var piece = new Piece(work, parts);
                s_piece = piece;
                foreach (Helper helper in helpers) helper.Wake();
                piece.ShareFromTheEnd();
                piece.Wait();
                s_piece = null;
            }
            finally
            {
                s_busy.Exit();
            }
        }
        else
        {
            for (int i = 0; i < parts; i++) work(i);
        }
    }

    /// <summary>Helpers take parts from the front, of which they may have something in their caches already; the caller from the end.</summary>
    private sealed class Piece(Action<int> work, int parts)
    {
        private int _taken, _front, _done;

        public bool HasMore => Volatile.Read(ref _taken) < parts;

        public void ShareFromTheEnd()
        {
            for (int part = parts - 1; Interlocked.Increment(ref _taken) <= parts; part--) Do(part);
        }

        public void ShareFromTheFront()
        {
            while (Interlocked.Increment(ref _taken) <= parts) Do(Interlocked.Increment(ref _front) - 1);
        }

        public void Wait()
        {
            for (int turns = 0; Volatile.Read(ref _done) < parts; turns++)
            {
                if (turns < 2000) Thread.SpinWait(2);
                else Thread.Yield(); // its thread may wait for this core
            }
        }

        private void Do(int part)
        {
            work(part);
            Interlocked.Increment(ref _done);
        }
    }

#pragma warning disable CA1001 // lives as long as the process
    private sealed class Helper
#pragma warning restore CA1001
    {
        private readonly ManualResetEventSlim _wake = new(false, 0);
        private volatile bool _asleep;

        public Helper() => new Thread(Serve) { IsBackground = true, Name = "few rows" }.Start();

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
                    piece.ShareFromTheFront();
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
