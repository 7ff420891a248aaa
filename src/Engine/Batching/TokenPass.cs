using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// Traces of any number of owners through a language model together.
/// 1. Each invoke's input becomes rows of tokens (<see cref="TokenPart"/>); a bad one fails its own job and leaves.
/// 2. All rows are one batch (<see cref="TokenBatch"/>); each invoke gets its view of it (<see cref="RowView"/>).
/// 3. The pass over the prompts runs, interleaved with the invokes.
/// 4. While any trace generates: the next token of each of its rows is chosen (<see cref="IContinuation"/>), passes the streamer's
///    site, where it may be replaced, and is taken; then the pass over the new tokens runs. Beams go on from their parents' part of
///    the cache. A trace whose rows are all finished leaves the batch, and its part of the cache with it.
/// 5. Each trace ends: its result is handed to its invokes, and what they still wait for is given up.
/// </summary>
internal sealed class TokenPass
{
    private readonly LanguageSubject _subject;
    private readonly List<TokenPart> _parts = [];
    private readonly PassShape _shape = new();
    private List<TokenPart> _active = [];

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
            _parts.Add(new TokenPart(trace, _subject, _shape));
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
        using KeyValueCache? cache = _parts.Any(p => p.Generates) ? _subject.NewCache() : null;
        _active = [.. _parts];
        try
        {
            interleaver.Begin();
            ShowPrompts(interleaver, batch);
            for (bool more = true; more;)
            {
                interleaver.CheckCancelled();
                foreach (TokenPart part in _active) part.Trace.Job.Tokens += _shape.HoldsPrompts ? part.Rows.Sum(r => r.Ids.Length) : part.Rows.Count;
                foreach (JobRun job in _active.Select(part => part.Trace.Job).Distinct()) job.Passes++;
                Forward(interleaver, batch, cache);
                (_shape.HoldsPrompts, _shape.Tokens) = (false, 1);
                ShowTokens(interleaver);
                more = Next(interleaver, batch, cache);
            }
        }
        catch (PassStopped)
        {
            // nobody needs the rest
        }
        foreach (TokenPart part in _parts.Where(p => !p.Trace.HasEnded))
            interleaver.End(part.Trace);
    }

    private void Forward(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        using var pass = torch.NewDisposeScope();
        bool isSeen = _active.Any(p => !p.Generates || p.SeesTheModel), isPrompt = _shape.HoldsPrompts;
        int from = isPrompt && !isSeen && _subject.PrefillChunk > 0 && !_subject.Root.DependsOnLength ? Prefill(interleaver, batch, cache!) : 0;
        using var watching = SiteObserver.Watch(interleaver.Watches, interleaver.CheckCancelled);
        ModelOutput output = _subject.Root.Call(
            from == 0 ? batch.Ids : batch.Ids.narrow(1, from, batch.Width - from), batch.Mask,
            from == 0 ? batch.Positions : batch.Positions.narrow(1, from, batch.Width - from), cache, isPrompt && !isSeen ? 1 : 0);
        foreach (TokenPart part in _active)
        {
            if (part.Generates && !part.HasEnded)
            {
                Guarded(part, () => part.Choose((torch.Tensor)output["logits"]!));
                continue;
            }
            if (!part.Generates) part.Trace.Result = invoke => invoke.View!.Narrow(output, _ => Axes.Hidden);
            interleaver.End(part.Trace); // now, while its output is there
        }
    }

    /// <summary>
    /// Runs long prompts in chunks, all but the last, so that no more scores and logits than a chunk's are held at a time. Only where no
    /// program has a site in the model: it would see the chunks.
    /// </summary>
    /// <returns>How many tokens of each row are in the cache.</returns>
    private int Prefill(Interleaver interleaver, TokenBatch batch, KeyValueCache cache)
    {
        int chunk = _subject.PrefillChunk, from = 0;
        using var unwatched = SiteObserver.Watch(null, interleaver.CheckCancelled);
        for (; from + chunk < batch.Width; from += chunk)
        {
            using var pass = torch.NewDisposeScope();
            interleaver.CheckCancelled();
            _subject.Root.Call(batch.Ids.narrow(1, from, chunk), batch.Mask.narrow(1, 0, from + chunk), batch.Positions.narrow(1, from, chunk), cache, logitsToKeep: 1);
        }
        return from;
    }

    /// <summary>The streamer's first call.</summary>
    private void ShowPrompts(Interleaver interleaver, TokenBatch batch)
    {
        if (interleaver.Watches[_subject.Streamer] is null) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor shown = batch.Ids.clone();                                     // [rows, tokens]
        var seen = (torch.Tensor)interleaver.Pass(new Point(_subject.Streamer, After: true), shown)!;
        foreach (TokenPart part in _active)
        {
            torch.Tensor own = batch.Ids.narrow(0, part.Start, part.Rows.Count), changed = seen.narrow(0, part.Start, part.Rows.Count);
            if (!own.Equals(changed))
                part.Trace.Job.Fail(Errors.Throwable(ErrorCode.BadArgument, "The streamer's first call shows the prompts; they cannot be replaced there.", "Pass other prompts, or replace the tokens of later calls.", GeneratorSites.Streamer),
                    part.Trace.Job.LastWrite ?? part.Trace.Statement.Id);
        }
    }

    /// <summary>The streamer's call for this step's tokens: what comes back is what the rows go on with.</summary>
    private void ShowTokens(Interleaver interleaver)
    {
        if (interleaver.Watches[_subject.Streamer] is null || _active.All(p => p.Trace.HasEnded)) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor shown = torch.tensor([.. _active.SelectMany(p => p.Next)], dtype: torch.ScalarType.Int64, device: _subject.Device); // [rows]
        var seen = (torch.Tensor)interleaver.Pass(new Point(_subject.Streamer, After: true), shown)!;
        long[] tokens = seen.cpu().contiguous().data<long>().ToArray();
        foreach (TokenPart part in _active)
            if (part.Generates && !part.Trace.Job.HasFailed) Guarded(part, () => part.Replace(tokens));
    }

    /// <summary>Step 4: true if another pass is to come.</summary>
    private bool Next(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        foreach (TokenPart part in _active)
            if (part.Generates && !part.HasStopped) part.Take();
        List<TokenPart> staying = [.. _active.Where(p => p.Generates && !p.HasEnded && !p.HasStopped)];
        if (staying.Count == 0) return false;
        foreach (TokenPart part in _active.Except(staying))
            if (!part.Trace.HasEnded) interleaver.End(part.Trace);
        int[] rows = [.. staying.SelectMany(p => p.Sources)];
        if (rows.Length != _shape.Rows || rows.Where((from, row) => from != row).Any())
        {
            using (torch.Tensor kept = torch.tensor(Array.ConvertAll(rows, r => (long)r), device: _subject.Device))
                cache!.SelectRows(kept);
            batch.Select(rows);
        }
        _active = staying;
        Place(batch.Width);
        batch.Advance([.. _active.SelectMany(p => p.Next)]);
        if (_subject.Root.RecomputedBeyond is { } length && batch.Crosses(length)) Recompute(batch, cache!);
        return true;
    }

    /// <summary>
    /// Fills the cache anew, as it is when all tokens so far come at once, up to the next pass's, which that pass then overwrites. Programs
    /// do not see it, and what they changed in earlier steps is not in it.
    /// </summary>
    private void Recompute(TokenBatch batch, KeyValueCache cache)
    {
        using var unwatched = SiteObserver.Watch(null);
        using var pass = torch.NewDisposeScope();
        var (ids, positions) = batch.Whole();
        using (ids)
        using (positions)
        {
            cache.Clear();
            _subject.Root.Call(ids, batch.Mask, positions, cache, logitsToKeep: 1);
            cache.Retreat(1);
        }
    }

    /// <summary>What goes wrong with one trace's tokens ends its job and no other.</summary>
    private static void Guarded(TokenPart part, Action act)
    {
        try
        {
            act();
        }
        catch (Exception e)
        {
            part.Trace.Job.Fail(Faults.Of(e, "The choice of the next token"), part.Trace.Job.LastWrite ?? part.Trace.Statement.Id);
        }
    }

    /// <summary>Gives every view its rows in the batch as it is now.</summary>
    private void Place(int width)
    {
        long start = 0;
        IEnumerable<TokenPart> present = _active.Count > 0 ? _active : _parts;
        foreach (TokenPart part in present)
        {
            part.PlaceAt(start, width);
            start += part.Rows.Count;
        }
        _shape.Rows = start;
    }
}
