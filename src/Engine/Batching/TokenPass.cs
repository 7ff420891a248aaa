using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// Traces of any number of owners through a language model together.
/// 1. Each invoke's input becomes rows of tokens; a bad one fails its own job and leaves.
/// 2. All rows are one batch (<see cref="TokenBatch"/>); each invoke gets its view of it (<see cref="RowView"/>).
/// 3. The pass over the prompts runs, interleaved with the invokes.
/// 4. While any trace generates: the next token of each of its rows is chosen and the pass over the new tokens runs. A trace
///    whose rows are all finished leaves the batch, and its part of the cache with it.
/// 5. Each trace ends: its result is handed to its invokes, and what they still wait for is given up.
/// </summary>
internal sealed class TokenPass
{
    private readonly LanguageSubject _subject;
    private readonly List<Part> _parts = [];
    private readonly PassShape _shape = new();
    private List<Part> _active = [];

    private TokenPass(LanguageSubject subject) => _subject = subject;

    public static void Run(LanguageSubject subject, IReadOnlyList<TraceRun> traces)
    {
        var pass = new TokenPass(subject);
        foreach (TraceRun trace in traces) pass.Admit(trace);
        if (pass._parts.Count > 0) pass.Run();
    }

    /// <summary>Steps 1 and 2, for one trace.</summary>
    private void Admit(TraceRun trace)
    {
        try
        {
            Generation? generation = trace.Statement.Trace.Mode is Mode.Generate ? trace.Statement.Trace.Generation ?? new Generation() : null;
            uint newTokens = generation is null ? 0 : generation.HasMaxNewTokens ? generation.MaxNewTokens : 20;
            List<List<TokenRow>> rows = [.. trace.Statement.Invokes.Select(i => TokenRows.Of(i, _subject, trace.Job.Slots, newTokens))];
            var part = new Part(trace, generation, newTokens, [.. rows.SelectMany(r => r)]);
            for (int i = 0; i < rows.Count; i++)
            {
                InvokeInput invoke = trace.Statement.Invokes[i];
                if (invoke.Input is null && invoke.Beside is null) part.Add(invoke.Region, 0, part.Rows.Count, part.Width, _shape);
                else AddRowsOf(invoke.Beside ?? i, invoke.Region);
            }
            part.Add(trace.Statement.Trace.Region, 0, part.Rows.Count, part.Width, _shape);
            _parts.Add(part);

            void AddRowsOf(int owner, uint region) => part.Add(region, rows.Take(owner).Sum(r => r.Count), rows[owner].Count, rows[owner].Max(r => r.Ids.Length), _shape);
        }
        catch (Exception e)
        {
            trace.Job.Fail(Faults.Of(e, "The input"), trace.Statement.Id);
        }
    }

    private void Run()
    {
        using var scope = torch.NewDisposeScope();
        using var batch = new TokenBatch([.. _parts.SelectMany(p => p.Rows)], _subject.Device);
        Place(batch.Width);
        _shape.Tokens = batch.Width;
        var interleaver = new Interleaver(_subject, [.. _parts.Select(p => p.Trace)]);
        using KeyValueCache? cache = _parts.Any(p => p.Generation is not null) ? _subject.NewCache() : null;
        _active = [.. _parts];
        try
        {
            interleaver.Begin();
            for (int step = 0; _active.Count > 0; step++)
            {
                interleaver.CheckCancelled();
                foreach (Part part in _active) part.Trace.Job.Tokens += step == 0 ? part.Rows.Sum(r => r.Ids.Length) : part.Rows.Count;
                Forward(interleaver, batch, cache);
                if (!Next(interleaver, batch, cache, step)) break;
                (_shape.HoldsPrompts, _shape.Tokens) = (false, 1);
            }
        }
        catch (PassStopped)
        {
            // nobody needs the rest
        }
        foreach (Part part in _parts.Where(p => !p.Trace.HasEnded))
            interleaver.End(part.Trace);
    }

    private void Forward(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        using var pass = torch.NewDisposeScope();
        using var watching = SiteObserver.Watch(interleaver.Watches);
        ModelOutput output = _subject.Root.Call(batch.Ids, batch.Mask, batch.Positions, cache);
        foreach (Part part in _active)
        {
            if (part.Generation is not null)
            {
                part.Choose((torch.Tensor)output["logits"]!);
                continue;
            }
            part.Trace.Result = invoke => invoke.View!.Narrow(output, _ => Axes.Hidden);
            interleaver.End(part.Trace); // now, while its output is there
        }
    }

    /// <summary>Step 4: true if another pass is to come.</summary>
    private bool Next(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache, int step)
    {
        List<Part> staying = [.. _active.Where(p => p.Generation is not null && !p.IsFinished(_subject.EosIds, step) && !p.HasStopped)];
        if (staying.Count == 0) return false;
        if (staying.Count < _active.Count) Leave(interleaver, batch, cache!, staying);
        batch.Advance([.. _active.SelectMany(p => p.Next)]);
        return true;
    }

    /// <summary>Those that are not staying leave the batch; the rows behind them move up.</summary>
    private void Leave(Interleaver interleaver, TokenBatch batch, KeyValueCache cache, List<Part> staying)
    {
        int[] rows = [.. staying.SelectMany(p => Enumerable.Range((int)p.Start, p.Rows.Count))];
        foreach (Part part in _active.Except(staying))
            if (!part.Trace.HasEnded) interleaver.End(part.Trace);
        using (torch.Tensor kept = torch.tensor(Array.ConvertAll(rows, r => (long)r), device: _subject.Device))
            cache.SelectRows(kept);
        batch.Select(rows);
        _active = staying;
        Place(batch.Width);
    }

    /// <summary>Gives every view its rows in the batch as it is now.</summary>
    private void Place(int width)
    {
        long start = 0;
        IEnumerable<Part> present = _active.Count > 0 ? _active : _parts;
        foreach (Part part in present)
        {
            part.PlaceAt(start, width);
            start += part.Rows.Count;
        }
        _shape.Rows = start;
    }

    /// <summary>One trace's rows in the batch.</summary>
    private sealed class Part(TraceRun trace, Generation? generation, uint newTokens, List<TokenRow> rows)
    {
        private readonly List<(Interpreter Invoke, long Offset, int Width)> _views = [];
        private readonly List<long>[] _generated = [.. rows.Select(_ => new List<long>())];
        private readonly bool[] _ended = new bool[rows.Count];

        public TraceRun Trace { get; } = trace;

        public Generation? Generation { get; } = generation;

        public List<TokenRow> Rows { get; } = rows;

        public int Width { get; } = rows.Count == 0 ? 0 : rows.Max(r => r.Ids.Length);

        public long Start { get; private set; }

        /// <summary>The tokens of the next pass.</summary>
        public long[] Next { get; private set; } = [];

        public bool HasStopped => Trace.Job.HasFailed || (Trace.Invokes.All(i => i.IsDone) && Trace.Invokes.Any(i => i.Stopped));

        public void Add(uint region, long offset, long count, int width, PassShape shape)
        {
            var invoke = new Interpreter(Trace.Job, region, new RowView(shape, offset, count, 0));
            _views.Add((invoke, offset, width));
            Trace.Add(invoke);
            Trace.Result ??= i => Generation is null ? null : ResultIds(i);
        }

        public void PlaceAt(long start, int width)
        {
            Start = start;
            foreach (var (invoke, offset, own) in _views) (invoke.View!.Start, invoke.View.Pad) = (start + offset, width - own);
        }

        /// <summary>Chooses the next token of each row: the most likely one.</summary>
        /// <param name="logits">[rows of the batch, tokens, vocabulary]</param>
        public void Choose(torch.Tensor logits)
        {
            using var scope = torch.NewDisposeScope();
            torch.Tensor last = logits.narrow(0, Start, Rows.Count).select(1, -1);      // [rows, vocabulary]
            Next = last.argmax(-1).cpu().data<long>().ToArray();
        }

        /// <summary>Takes the chosen tokens. True if all rows have ended, or enough tokens were made.</summary>
        public bool IsFinished(IReadOnlyList<int> eosIds, int step)
        {
            if (step >= newTokens) return true;
            long[] eos = Generation!.Eos.Count > 0 ? [.. Generation.Eos] : [.. eosIds.Select(id => (long)id)];
            for (int row = 0; row < Next.Length; row++)
            {
                if (_ended[row]) Next[row] = eos.Length > 0 ? eos[0] : 0;
                _generated[row].Add(Next[row]);
                if (!Generation.IgnoreEos && eos.Contains(Next[row])) _ended[row] = true;
            }
            return step + 1 >= newTokens || _ended.All(e => e);
        }

        /// <summary>The prompt's tokens and the new ones, of an invoke's rows. [rows, prompt + new]</summary>
        private torch.Tensor ResultIds(Interpreter invoke)
        {
            (_, long offset, int width) = _views.First(v => ReferenceEquals(v.Invoke, invoke));
            int count = (int)invoke.View!.Count, made = _generated.Length == 0 ? 0 : _generated.Max(g => g.Count);
            var ids = new long[count * (width + made)];
            for (int i = 0; i < count; i++)
            {
                long[] prompt = Rows[(int)offset + i].Ids;
                prompt.CopyTo(ids, i * (width + made) + width - prompt.Length);
                _generated[(int)offset + i].CopyTo(ids, i * (width + made) + width);
            }
            return torch.tensor(ids, [count, width + made], dtype: torch.ScalarType.Int64, device: Trace.Job.Context.Device);
        }
    }
}
