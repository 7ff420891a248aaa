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
/// Runs traces of any number of jobs together through a language model: one forward pass, or a generation.
/// 1. The input of each invoke is converted to rows of tokens (<see cref="TraceRows"/>). An invalid input fails its own job.
/// 2. All rows form one batch (<see cref="TokenBatch"/>), and each invoke gets its slice of it (<see cref="BatchSlice"/>).
/// 3. The prefill pass over the prompts runs, interleaved with the invokes.
/// 4. While any trace generates, the next token of each of its rows is selected (<see cref="ISequenceDecoder"/>) and reported at the site
///    of the streamer, where a program may replace it. Rows of a beam search continue from the cache of their parent beam. A trace whose
///    rows are all finished leaves the batch and the cache; an invoke whose rows are all finished ends, while its rows stay in the batch.
///    Then the decode pass over the new tokens runs.
/// 5. Each trace ends: its result becomes available to its invokes, and the values that they still wait for are abandoned.
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

    /// <summary>Step 1 for one trace.</summary>
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
        // a pad token that was added to the tokenizer alone has no row in the embedding
        long padTokenId = _model.PadTokenId < _model.Description.Vocabulary ? _model.PadTokenId : 0;
        using var batch = new TokenBatch([.. _traces.SelectMany(p => p.Rows)], _model.Device, padTokenId);
        AssignRows(batch.SequenceLength); // 2
        _batchShape.SequenceLength = batch.SequenceLength;
        var interleaver = new Interleaver(_model, [.. _traces.Select(p => p.Trace)]);
        using KeyValueCache? cache = _traces.Any(p => p.IsGenerating) ? _model.NewCache() : null;
        _activeTraces = [.. _traces];
        try
        {
            interleaver.Begin();
            StreamPrompts(interleaver, batch);
            for (bool hasNext = true; hasNext;)
            {
                interleaver.CheckCancelled();
                CountUsage();
                Forward(interleaver, batch, cache); // 3
                (_batchShape.IsPrefill, _batchShape.SequenceLength) = (false, 1);
                StreamTokens(interleaver); // 4
                hasNext = AdvanceStep(interleaver, batch, cache);
            }
        }
        catch (EarlyStopException)
        {
            // no invoke needs the rest of the pass
        }
        foreach (TraceRows rows in _traces.Where(p => !p.Trace.HasEnded)) // 5
            interleaver.EndTrace(rows.Trace);
    }

    private void CountUsage()
    {
        foreach (TraceRows rows in _activeTraces)
            rows.Trace.Job.TokenCount += _batchShape.IsPrefill ? rows.Rows.Sum(r => r.InputIds.Length) : rows.Rows.Count;
        foreach (JobRun job in _activeTraces.Select(rows => rows.Trace.Job).Distinct()) job.ForwardPassCount++;
    }

    /// <summary>Runs one forward pass, and selects the next token of the rows that generate.</summary>
    private void Forward(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        using var scope = torch.NewDisposeScope();
        bool needsWholePass = _activeTraces.Any(p => !p.IsGenerating || p.HasModelSites);
        bool isUnobservedPrefill = _batchShape.IsPrefill && !needsWholePass;
        int done = isUnobservedPrefill && _model.PrefillChunkSize > 0 && !_model.Root.HasLengthDependentRope
            ? RunPrefillChunks(interleaver, batch, cache!) : 0;
        int remaining = batch.SequenceLength - done;
        using var registration = SiteHook.Register(interleaver.Hooks, interleaver.CheckCancelled);
        ModelOutput output = _model.Root.Call(
            done == 0 ? batch.InputIds : batch.InputIds.narrow(1, done, remaining), batch.AttentionMask,
            done == 0 ? batch.PositionIds : batch.PositionIds.narrow(1, done, remaining), cache, isUnobservedPrefill ? 1 : 0);
        foreach (TraceRows rows in _activeTraces)
        {
            if (rows.IsGenerating && !rows.HasEnded)
            {
                RunGuarded(rows, () => rows.SelectTokens((torch.Tensor)output["logits"]!));
                continue;
            }
            if (!rows.IsGenerating) rows.Trace.Result = invoke => invoke.Slice!.Narrow(output, _ => Axes.Hidden);
            interleaver.EndTrace(rows.Trace); // while the output is still alive
        }
    }

    /// <summary>
    /// Runs all chunks of the prompts but the last, which bounds the memory of scores and logits. Used only if no program has a site in
    /// the model, because it would see the chunks.
    /// </summary>
    /// <returns>The number of tokens of each row that are in the cache.</returns>
    private int RunPrefillChunks(Interleaver interleaver, TokenBatch batch, KeyValueCache cache)
    {
        int chunk = _model.PrefillChunkSize, start = 0;
        using var registration = SiteHook.Register(null, interleaver.CheckCancelled);
        for (; start + chunk < batch.SequenceLength; start += chunk)
        {
            using var scope = torch.NewDisposeScope();
            interleaver.CheckCancelled();
            _model.Root.Call(batch.InputIds.narrow(1, start, chunk), batch.AttentionMask.narrow(1, 0, start + chunk),
                batch.PositionIds.narrow(1, start, chunk), cache, logitsToKeep: 1);
        }
        return start;
    }

    /// <summary>The first call of the streamer, which reports the prompts.</summary>
    private void StreamPrompts(Interleaver interleaver, TokenBatch batch)
    {
        if (interleaver.Hooks[_model.StreamerIndex] is null) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor reported = batch.InputIds.clone();                                                                    // [batch, seq]
        var result = (torch.Tensor)interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), reported)!; // [batch, seq]
        foreach (TraceRows rows in _activeTraces)
        {
            torch.Tensor original = batch.InputIds.narrow(0, rows.FirstRow, rows.Rows.Count); // [trace's rows, seq]
            if (original.Equals(result.narrow(0, rows.FirstRow, rows.Rows.Count))) continue;
            JobRun job = rows.Trace.Job;
            Exception error = Errors.CreateException(ErrorCode.BadArgument,
                "The streamer's first call shows the prompts; they cannot be replaced there.",
                "Pass other prompts, or replace the tokens of later calls.", GeneratorSites.Streamer);
            job.Fail(error, job.LastWriteNode ?? rows.Trace.Statement.Id);
        }
    }

    /// <summary>The call of the streamer with the selected tokens. The rows continue with the tokens that it returns.</summary>
    private void StreamTokens(Interleaver interleaver)
    {
        if (interleaver.Hooks[_model.StreamerIndex] is null || _activeTraces.All(p => p.Trace.HasEnded)) return;
        using var scope = torch.NewDisposeScope();
        long[] selected = [.. _activeTraces.SelectMany(p => p.NextTokens)];
        torch.Tensor reported = torch.tensor(selected, dtype: torch.ScalarType.Int64, device: _model.Device);              // [batch]
        var result = (torch.Tensor)interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), reported)!; // [batch]
        long[] tokens = result.cpu().contiguous().data<long>().ToArray();
        foreach (TraceRows rows in _activeTraces)
            if (rows.IsGenerating && !rows.Trace.Job.HasFailed) RunGuarded(rows, () => rows.ReplaceTokens(tokens));
    }

    /// <summary>Commits the selected tokens and prepares the next pass. Returns false if no trace continues.</summary>
    private bool AdvanceStep(Interleaver interleaver, TokenBatch batch, KeyValueCache? cache)
    {
        foreach (TraceRows rows in _activeTraces)
            if (rows.IsGenerating && !rows.HasStopped) rows.CommitTokens();
        List<TraceRows> continuing = [.. _activeTraces.Where(p => p.IsGenerating && !p.HasEnded && !p.HasStopped)];
        if (continuing.Count == 0) return false;
        foreach (TraceRows rows in _activeTraces.Except(continuing))
            if (!rows.Trace.HasEnded) interleaver.EndTrace(rows.Trace);
        foreach (TraceRows rows in continuing)
            if (rows.FindEndedInvokes() is { Count: > 0 } ended) interleaver.EndInvokes(ended);
        int[] sourceRows = [.. continuing.SelectMany(p => p.SourceRows)];
        if (sourceRows.Length != _batchShape.BatchSize || sourceRows.Where((source, row) => source != row).Any())
        {
            using (torch.Tensor indices = torch.tensor(Array.ConvertAll(sourceRows, r => (long)r), device: _model.Device)) // [next batch]
                cache!.SelectRows(indices);
            batch.SelectRows(sourceRows);
        }
        _activeTraces = continuing;
        AssignRows(batch.SequenceLength);
        batch.AppendTokens([.. _activeTraces.SelectMany(p => p.NextTokens)]);
        if (_model.Root.CacheRecomputeLength is { } length && batch.RowsPastLength(length) is { Length: > 0 } rowsPastLength)
            RecomputeCache(batch, cache!, rowsPastLength, length);
        return true;
    }

    /// <summary>
    /// Computes the keys and values of rows again as for a prefill of all their tokens so far. Programs do not see this pass, so a trace
    /// whose edits of these rows are in the cache fails.
    /// </summary>
    /// <remarks>prepare_inputs_for_generation in transformers/models/phi3/modeling_phi3.py</remarks>
    private void RecomputeCache(TokenBatch batch, KeyValueCache cache, int[] rows, long length)
    {
        foreach (TraceRows edited in _activeTraces.Where(p => rows.Any(p.HasRow) && p.Trace.HasEditedCache(rows)))
        {
            JobRun job = edited.Trace.Job;
            Exception error = Errors.CreateException(ErrorCode.Unsupported,
                $"A row of this generation grows past {length} tokens, where {_model.Description.Architecture} computes its keys and "
                + "values "
                + "again; they would be without the edits of the earlier steps.",
                $"Keep the prompt and its new tokens within {length}, begin with a prompt of more than {length} tokens, or edit only the "
                + "final norm and the logits.");
            job.Fail(error, job.LastWriteNode ?? edited.Trace.Statement.Id);
        }
        using var registration = SiteHook.Register(null);
        using var scope = torch.NewDisposeScope();
        var (ids, mask, positions) = batch.FullSequences(rows);
        using KeyValueCache recomputed = _model.NewCache();
        using (ids)
        using (mask)
        using (positions)
            _model.Root.Call(ids, mask, positions, recomputed, logitsToKeep: 1);
        using torch.Tensor indices = torch.tensor(Array.ConvertAll(rows, row => (long)row), device: _model.Device); // [rows]
        cache.ReplaceRows(indices, recomputed);
    }

    /// <summary>Runs an action; an exception fails the job of the trace and no other.</summary>
    private static void RunGuarded(TraceRows rows, Action action)
    {
        try
        {
            action();
        }
        catch (Exception e)
        {
            JobRun job = rows.Trace.Job;
            job.Fail(ForwardErrorTranslator.Translate(e, "The choice of the next token"), job.LastWriteNode ?? rows.Trace.Statement.Id);
        }
    }

    /// <summary>Assigns every slice its rows in the current batch.</summary>
    private void AssignRows(int sequenceLength)
    {
        long start = 0;
        IEnumerable<TraceRows> traces = _activeTraces.Count > 0 ? _activeTraces : _traces;
        foreach (TraceRows rows in traces)
        {
            rows.SetPosition(start, sequenceLength);
            start += rows.Rows.Count;
        }
        _batchShape.BatchSize = start;
    }
}
