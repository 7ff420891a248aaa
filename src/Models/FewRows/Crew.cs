namespace Ndif.Models;

/// <summary>
/// Threads that share a short piece of work: a weight's product takes some 100 us, which a thread pool's wake-up would lengthen by a tenth.
/// They wait actively for a moment, then asleep. One piece at a time; who comes while they are busy does all of it alone.
/// </summary>
internal static class Crew
{
    /// <summary>About as long as the operations between two products take.</summary>
    private const int Spins = 2000;

    private static readonly Lock s_busy = new();
    private static Helper[]? s_helpers;

    /// <summary>In how many parts work is worth being split: one for each core that libtorch uses too.</summary>
    public static int Size { get; } = Math.Max(1, Math.Min(TorchSharp.torch.get_num_threads(), Environment.ProcessorCount));

    /// <summary>Runs every part, and returns when all are done.</summary>
    public static void Run(int parts, Action<int> work)
    {
        if (parts > 1 && s_busy.TryEnter())
        {
            try
            {
                Helper[] helpers = s_helpers ??= [.. Enumerable.Range(1, Size - 1).Select(_ => new Helper())];
                for (int i = 1; i < parts; i++) helpers[i - 1].Begin(work, i);
                work(0);
                for (int i = 1; i < parts; i++) helpers[i - 1].End();
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

#pragma warning disable CA1001 // lives as long as the process
    private sealed class Helper
#pragma warning restore CA1001
    {
        private readonly ManualResetEventSlim _begin = new(false, Spins), _end = new(false, Spins);
        private Action<int>? _work;
        private int _part;

        public Helper() => new Thread(Serve) { IsBackground = true, Name = "few rows" }.Start();

        public void Begin(Action<int> work, int part)
        {
            (_work, _part) = (work, part);
            _begin.Set();
        }

        public void End()
        {
            _end.Wait();
            _end.Reset();
            _work = null;
        }

        private void Serve()
        {
            while (true)
            {
                _begin.Wait();
                _begin.Reset();
                _work!(_part);
                _end.Set();
            }
        }
    }
}
