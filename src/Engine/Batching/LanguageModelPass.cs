using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// Traces of any number of owners through a language model together.
/// 1. Each invoke's input becomes rows of tokens (<see cref="TraceRows"/>); a bad one fails its own job and leaves.
/// 2. All rows are one batch (<see cref="TokenBatch"/>); each invoke gets its view of it (<see cref="BatchSlice"/>).
/// 3. The pass over the prompts runs, interleaved with the invokes.
/// 4. While any trace generates: the next token of each of its rows is chosen (<see cref="ISequenceDecoder"/>), passes the streamer's
///    site, where it may be replaced, and is taken; then the pass over the new tokens runs. Beams go on from their parents' part of
///    the cache. A trace whose rows are all finished leaves the batch, and its part of the cache with it.
/// 5. Each trace ends: its result is handed to its invokes, and what they still wait for is given up.
/// </summary>
internal sealed class LanguageModelPass
{
    private readonly HookedLanguageModel _model;
    private readonly List<TraceRows> _traces = [];
    private readonly BatchShape _batchShape = new();
    private List<TraceRows> _activeTraces = [];

    private LanguageModelPass(HookedLanguageModel model) => _model = model;

    public static void Run(HookedLanguageModel model, IReadOnlyList<TraceRun> traces)
    {
        var pass = new LanguageModelPass(model);
        foreach (TraceRun trace in traces) pass.Admit(trace);
        if (pass._traces.Count > 0) pass.Run();
    }

    /// <summary>Steps 1 and 2, for one trace.</summary>
    private void Admit(TraceRun trace)
    {
        try
        {
            _traces.Add(new TraceRows(trace, _model, _batchShape));
        }
        catch (Exception e)
        {
            trace.Job.Fail(ForwardErrorTranslator.Translate(e, "The input"), trace.Statement.Id);
        }
    }

    private void Run()
    {
        using var scope = torch.NewDisposeScope();
        using var batch = new TokenBatch([.. _traces.SelectMany(p => p.Rows)], _model.Device);
        AssignRows(batch.SequenceLength);
        _batchShape.SequenceLength = batch.SequenceLength;
        var interleaver = new Interleaver(_model, [.. _traces.Select(p => p.Trace)]);
        using KeyValueCache? cache = _traces.Any(p => p.IsGenerating) ? _model.NewCache() : null;
        _activeTraces = [.. _traces];
        try
        {
            interleaver.Begin();
            StreamPrompts(interleaver, batch);
            for (bool more = true; more;)
            {
                interleaver.CheckCancelled();
                foreach (TraceRows part in _activeTraces) part.Trace.Job.TokenCount += _batchShape.IsPrefill ? part.Rows.Sum(r => r.InputIds.Length) : part.Rows.Count;
                foreach (JobRun job in _activeTraces.Select(part => part.Trace.Job).Distinct()) job.ForwardPassCount++;
                Forward(interleaver, batch, cache);
                (_batchShape.IsPrefill, _batchShape.SequenceLength) = (false, 1);
                StreamTokens(interleaver);
                more = AdvanceStep(interleaver, batch, cache);
            }
        }
        catch (EarlyStopException)
        {
            // nobody needs the rest
        }
        foreach (TraceRows part in _traces.Where(p => !p.Trace.HasEnded))
            interleaver.EndTrace(part.Trace);
    }

    private void Forward(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        using var pass = torch.NewDisposeScope();
        bool isSeen = _activeTraces.Any(p => !p.IsGenerating || p.HasModelSites), isPrompt = _batchShape.IsPrefill;
        int from = isPrompt && !isSeen && _model.PrefillChunkSize > 0 && !_model.Root.HasLengthDependentRope ? RunPrefillChunks(interleaver, batch, cache!) : 0;
        using var watching = SiteHook.Register(interleaver.Hooks, interleaver.CheckCancelled);
        ModelOutput output = _model.Root.Call(
            from == 0 ? batch.InputIds : batch.InputIds.narrow(1, from, batch.SequenceLength - from), batch.AttentionMask,
            from == 0 ? batch.PositionIds : batch.PositionIds.narrow(1, from, batch.SequenceLength - from), cache, isPrompt && !isSeen ? 1 : 0);
        foreach (TraceRows part in _activeTraces)
        {
            if (part.IsGenerating && !part.HasEnded)
            {
                RunGuarded(part, () => part.SelectTokens((torch.Tensor)output["logits"]!));
                continue;
            }
            if (!part.IsGenerating) part.Trace.Result = invoke => invoke.Slice!.Narrow(output, _ => Axes.Hidden);
            interleaver.EndTrace(part.Trace); // now, while its output is there
        }
    }

    /// <summary>
    /// Runs long prompts in chunks, all but the last, so that no more scores and logits than a chunk's are held at a time. Only where no
    /// program has a site in the model: it would see the chunks.
    /// </summary>
    /// <returns>How many tokens of each row are in the cache.</returns>
    private int RunPrefillChunks(Interleaver interleaver, TokenBatch batch, KeyValueCache cache)
    {
        int chunk = _model.PrefillChunkSize, from = 0;
        using var unwatched = SiteHook.Register(null, interleaver.CheckCancelled);
        for (; from + chunk < batch.SequenceLength; from += chunk)
        {
            using var pass = torch.NewDisposeScope();
            interleaver.CheckCancelled();
            _model.Root.Call(batch.InputIds.narrow(1, from, chunk), batch.AttentionMask.narrow(1, 0, from + chunk), batch.PositionIds.narrow(1, from, chunk), cache, logitsToKeep: 1);
        }
        return from;
    }

    /// <summary>The streamer's first call.</summary>
    private void StreamPrompts(Interleaver interleaver, TokenBatch batch)
    {
        if (interleaver.Hooks[_model.StreamerIndex] is null) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor shown = batch.InputIds.clone();                                     // [batch, seq]
        var seen = (torch.Tensor)interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), shown)!;
        foreach (TraceRows part in _activeTraces)
        {
            torch.Tensor own = batch.InputIds.narrow(0, part.FirstRow, part.Rows.Count), changed = seen.narrow(0, part.FirstRow, part.Rows.Count);
            if (!own.Equals(changed))
                part.Trace.Job.Fail(Errors.CreateException(ErrorCode.BadArgument, "The streamer's first call shows the prompts; they cannot be replaced there.", "Pass other prompts, or replace the tokens of later calls.", GeneratorSites.Streamer),
                    part.Trace.Job.LastWriteNode ?? part.Trace.Statement.Id);
        }
    }

    /// <summary>The streamer's call for this step's tokens: what comes back is what the rows go on with.</summary>
    private void StreamTokens(Interleaver interleaver)
    {
        if (interleaver.Hooks[_model.StreamerIndex] is null || _activeTraces.All(p => p.Trace.HasEnded)) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor shown = torch.tensor([.. _activeTraces.SelectMany(p => p.NextTokens)], dtype: torch.ScalarType.Int64, device: _model.Device); // [batch]
        var seen = (torch.Tensor)interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), shown)!;
        long[] tokens = seen.cpu().contiguous().data<long>().ToArray();
        foreach (TraceRows part in _activeTraces)
            if (part.IsGenerating && !part.Trace.Job.HasFailed) RunGuarded(part, () => part.ReplaceTokens(tokens));
    }

    /// <summary>Step 4: true if another pass is to come.</summary>
    private bool AdvanceStep(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        foreach (TraceRows part in _activeTraces)
            if (part.IsGenerating && !part.HasStopped) part.CommitTokens();
        List<TraceRows> staying = [.. _activeTraces.Where(p => p.IsGenerating && !p.HasEnded && !p.HasStopped)];
        if (staying.Count == 0) return false;
        foreach (TraceRows part in _activeTraces.Except(staying))
            if (!part.Trace.HasEnded) interleaver.EndTrace(part.Trace);
        int[] rows = [.. staying.SelectMany(p => p.SourceRows)];
        if (rows.Length != _batchShape.BatchSize || rows.Where((from, row) => from != row).Any())
        {
            using (torch.Tensor kept = torch.tensor(Array.ConvertAll(rows, r => (long)r), device: _model.Device))
                cache!.SelectRows(kept);
            batch.SelectRows(rows);
        }
        _activeTraces = staying;
        AssignRows(batch.SequenceLength);
        batch.AppendTokens([.. _activeTraces.SelectMany(p => p.NextTokens)]);
        if (_model.Root.CacheRecomputeLength is { } length && batch.HasRowPastLength(length)) RecomputeCache(batch, cache!);
        return true;
    }

    /// <summary>
    /// Fills the cache anew, as it is when all tokens so far come at once, up to the next pass's, which that pass then overwrites. Programs
    /// do not see it, and what they changed in earlier steps is not in it.
    /// </summary>
    private void RecomputeCache(TokenBatch batch, KeyValueCache cache)
    {
        using var unwatched = SiteHook.Register(null);
        using var pass = torch.NewDisposeScope();
        var (ids, positions) = batch.FullSequences();
        using (ids)
        using (positions)
        {
            cache.Clear();
            _model.Root.Call(ids, batch.AttentionMask, positions, cache, logitsToKeep: 1);
            cache.Rewind(1);
        }
    }

    /// <summary>What goes wrong with one trace's tokens ends its job and no other.</summary>
    private static void RunGuarded(TraceRows trace, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            trace.Trace.Job.Fail(ForwardErrorTranslator.Translate(e, "The choice of the next token"), trace.Trace.Job.LastWriteNode ?? trace.Trace.Statement.Id);
        }
    }

    /// <summary>Gives every view its rows in the batch as it is now.</summary>
    private void AssignRows(int sequenceLength)
    {
        long start = 0;
        IEnumerable<TraceRows> present = _activeTraces.Count > 0 ? _activeTraces : _traces;
        foreach (TraceRows part in present)
        {
            part.SetPosition(start, sequenceLength);
            start += part.Rows.Count;
        }
        _batchShape.BatchSize = start;
    }
}
