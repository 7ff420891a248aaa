using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// Traces of any number of jobs that run together through a language model. The prompts are one pass, and each step of a generation is
/// another; between two steps, the rows of other batches can join (<see cref="TryAppend"/>).
/// 1. The input of each invoke is converted to rows of tokens (<see cref="TraceRows"/>). An invalid input fails its own job.
/// 2. All rows form one batch (<see cref="TokenBatch"/>), and each invoke gets its slice of it (<see cref="BatchSlice"/>).
/// 3. The prefill pass over the prompts runs, interleaved with the invokes.
/// 4. While any trace generates, the next token of each of its rows is selected (<see cref="ISequenceDecoder"/>) and reported at the site
///    of the streamer, where a program may replace it. Rows of a beam search continue from the cache of their parent beam. An invoke whose
///    rows are all finished ends. Rows that are finished leave the batch and the cache, unless an invoke still observes them. The next
///    step is the decode pass over the new tokens.
/// 5. Each trace ends: its result becomes available to its invokes, and the values that they still wait for are abandoned.
/// </summary>
internal sealed class LanguageModelBatch : ITraceBatch
{
    private readonly HookedLanguageModel _model;
    private readonly BatchShape _batchShape = new();
    private readonly TokenBatch _tokens;
    private KeyValueCache? _cache;
    private List<TraceRows> _traces;
    private Interleaver _interleaver;

    private LanguageModelBatch(HookedLanguageModel model, List<TraceRows> traces, Action onPreemptionPoint)
    {
        (_model, _traces) = (model, traces);
        // a pad token that was added to the tokenizer alone has no row in the embedding
        long padTokenId = model.PadTokenId < model.Description.Vocabulary ? model.PadTokenId : 0;
        _tokens = new TokenBatch([.. traces.SelectMany(p => p.Rows)], model.Device, padTokenId);
        _batchShape.SequenceLength = _tokens.Length;
        AssignRows(); // 2
        _interleaver = new Interleaver(model, [.. traces.Select(p => p.Trace)], onPreemptionPoint);
    }

    /// <summary>Step 1 for one trace. Returns null if its inputs are not valid, which fails the job.</summary>
    public static TraceRows? Prepare(TraceRun trace, HookedLanguageModel model)
    {
        try
        {
            return new TraceRows(trace, model);
        }
        catch (Exception e)
        {
            trace.Job.Fail(ForwardErrorTranslator.Translate(e, "The input"), trace.Statement.Id);
            return null;
        }
    }

    /// <summary>Runs the prompts of traces. Those that generate are in the returned batch; the others have ended.</summary>
    /// <param name="onPreemptionPoint">Called between two modules of the pass.</param>
    /// <param name="prefixes">The tokens of earlier passes, or null to compute the pass whole.</param>
    public static LanguageModelBatch? Prefill(
        HookedLanguageModel model, List<TraceRows> traces, Action onPreemptionPoint, PrefixCache? prefixes)
    {
        var batch = new LanguageModelBatch(model, traces, onPreemptionPoint);
        try
        {
            using PrefixReuse? reuse = PrefixReuse.TryCreate(model, prefixes, traces, batch._tokens.Length);
            (batch._cache, batch._interleaver.Reuse) =
                (reuse?.Cache ?? (traces.Any(rows => rows.IsGenerating) ? model.NewCache() : null), reuse);
            using var scope = torch.NewDisposeScope();
            batch.RunPass(() =>
            {
                batch._interleaver.Begin();
                batch.StreamPrompts();
            });
            batch._interleaver.Reuse = null;
        }
        catch
        {
            batch.Dispose();
            throw;
        }
        if (!batch.HasEnded) return batch;
        batch.Dispose();
        return null;
    }

    public IEnumerable<TraceRun> Traces => _traces.Select(rows => rows.Trace);

    public bool HasEnded => _traces.Count == 0;

    /// <summary>Runs one step of the generations.</summary>
    public void Step()
    {
        using var scope = torch.NewDisposeScope();
        RemoveFailed();
        if (!HasEnded) RunPass(() => { });
    }

    /// <summary>
    /// Adds the rows of another batch, which is disposed, before the next step. Returns false if the two cannot be one batch, because a
    /// program skips the attention of a layer, so that only one of them has keys and values of it.
    /// </summary>
    public bool TryAppend(ITraceBatch other)
    {
        if (other is not LanguageModelBatch { HasEnded: false } batch || HasEnded || !_cache!.CanAppend(batch._cache!)) return false;
        _cache.Append(batch._cache!);
        _tokens.Append(batch._tokens);
        batch.Dispose();
        SetTraces([.. _traces, .. batch._traces]);
        return true;
    }

    public void Dispose()
    {
        _tokens.Dispose();
        _cache?.Dispose();
    }

    /// <summary>Removes the rows of jobs that have failed or were cancelled since the last step.</summary>
    private void RemoveFailed()
    {
        List<TraceRows> remaining = [.. _traces.Where(rows => !rows.Trace.Job.CheckCancelled())];
        if (remaining.Count == _traces.Count) return;
        foreach (TraceRows rows in _traces.Except(remaining)) _interleaver.EndTrace(rows.Trace);
        if (remaining.Count > 0)
            SelectRows([.. remaining.SelectMany(rows => Enumerable.Range((int)rows.FirstRow, rows.RowCount))]);
        SetTraces(remaining);
    }

    /// <summary>Changes the traces of the batch. Its tokens and cache already have the rows of these.</summary>
    private void SetTraces(List<TraceRows> traces)
    {
        _traces = traces;
        if (!HasEnded) PrepareStep();
        _interleaver = new Interleaver(_model, [.. Traces]);
    }

    private void RunPass(Action begin)
    {
        List<TraceRows> traces = _traces;
        try
        {
            begin();
            _interleaver.CheckCancelled();
            CountUsage();
            Forward(); // 3
            (_batchShape.IsPrefill, _batchShape.SequenceLength) = (false, 1);
            StreamTokens(); // 4
            AdvanceStep();
        }
        catch (EarlyStopException)
        {
            // no invoke needs the rest of the pass
            _traces = [];
        }
        foreach (TraceRows rows in traces.Except(_traces).Where(p => !p.Trace.HasEnded)) // 5
            _interleaver.EndTrace(rows.Trace);
    }

    private void CountUsage()
    {
        foreach (TraceRows rows in _traces)
            rows.Trace.Job.TokenCount += _batchShape.IsPrefill ? rows.Rows.Sum(r => r.InputIds.Length) : rows.RowCount;
        foreach (JobRun job in _traces.Select(rows => rows.Trace.Job).Distinct())
        {
            job.ForwardPassCount++;
            job.ReusedLayerCount += _interleaver.Reuse?.LayerCount ?? 0;
        }
        if (_interleaver.Reuse is not { } reuse) return;
        foreach (TraceRows rows in _traces) rows.Trace.Job.ReusedTokenCount += reuse.TokenCountOf(rows);
    }

    /// <summary>Runs one forward pass, and selects the next token of the rows that generate.</summary>
    private void Forward()
    {
        using var scope = torch.NewDisposeScope();
        bool needsWholePass = _traces.Any(p => !p.IsGenerating || p.HasModelSites);
        _batchShape.HasLastLogitsOnly = _batchShape.IsPrefill && _traces.All(p => p.RequiredLogits.AreOfLastTokens);
        bool areTokenIdsListed = _batchShape.HasLastLogitsOnly && !_model.IsOnMetaDevice
            && _traces.All(p => !p.IsGenerating && p.RequiredLogits.TokenIds is not null);
        _interleaver.RequiredTokenIds = areTokenIdsListed ? _traces.SelectMany(p => p.RequiredLogits.TokenIds!).ToHashSet() : null;
        bool isUnobservedPrefill = _batchShape.IsPrefill && !needsWholePass;
        int done = _interleaver.Reuse?.ColumnCount ?? 0;
        if (isUnobservedPrefill && _model.PrefillChunkSize > 0 && _tokens.Length - done > _model.PrefillChunkSize
            && _interleaver.Reuse is null or { LayerCount: 0 } && !_model.Root.HasLengthDependentRope)
        {
            _interleaver.Reuse = null; // it would see the tokens of the last chunk only
            done = RunPrefillChunks(done);
        }
        long remaining = _tokens.InputIds.size(1) - done;
        torch.Tensor positions = _model.Root.HasPositionTable // rows that have ended go on with padding at the last position
            ? _tokens.PositionIds.clamp_max(_model.Description.ContextLength - 1) : _tokens.PositionIds; // [batch, seq]
        using var registration = SiteHook.Register(_interleaver.Hooks, _interleaver.CheckCancelled);
        ModelOutput output;
        try
        {
            output = _model.Root.Call(
                done == 0 ? _tokens.InputIds : _tokens.InputIds.narrow(1, done, remaining), _tokens.AttentionMask,
                done == 0 ? positions : positions.narrow(1, done, remaining), _cache, _batchShape.HasLastLogitsOnly ? 1 : 0);
        }
        catch (Exception e) when (e is not EarlyStopException)
        {
            _interleaver.CompletePass(); // an error of a program comes before that of the model
            throw;
        }
        _interleaver.CompletePass();
        foreach (TraceRows rows in _traces)
        {
            if (rows.IsGenerating && !rows.HasEnded)
            {
                RunGuarded(rows, () => rows.SelectTokens((torch.Tensor)output["logits"]!));
                continue;
            }
            if (!rows.IsGenerating) rows.Trace.Result = invoke => invoke.Slice!.Narrow(output, _ => Axes.Hidden);
            _interleaver.EndTrace(rows.Trace); // while the output is still alive
        }
    }

    /// <summary>
    /// Runs all chunks of the prompts but the last, which bounds the memory of scores and logits. Used only if no program has a site in
    /// the model, because it would see the chunks.
    /// </summary>
    /// <param name="start">The number of columns that are in the cache.</param>
    /// <returns>The number of columns that are in the cache then.</returns>
    private int RunPrefillChunks(int start)
    {
        int chunk = _model.PrefillChunkSize;
        using var registration = SiteHook.Register(null, _interleaver.CheckCancelled);
        for (; start + chunk < _tokens.Length; start += chunk)
        {
            using var scope = torch.NewDisposeScope();
            _interleaver.OnPreemptionPoint();
            _model.Root.Call(_tokens.InputIds.narrow(1, start, chunk), _tokens.AttentionMask.narrow(1, 0, start + chunk),
                _tokens.PositionIds.narrow(1, start, chunk), _cache, logitsToKeep: 1);
        }
        return start;
    }

    /// <summary>The first call of the streamer, which reports the prompts.</summary>
    private void StreamPrompts()
    {
        if (_interleaver.Hooks[_model.StreamerIndex] is null) return;
        using var scope = torch.NewDisposeScope();
        torch.Tensor reported = _tokens.InputIds.clone();                                                                    // [batch, seq]
        var result = (torch.Tensor)_interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), reported)!; // [batch, seq]
        foreach (TraceRows rows in _traces)
        {
            torch.Tensor original = _tokens.InputIds.narrow(0, rows.FirstRow, rows.Rows.Count); // [trace's rows, seq]
            if (original.Equals(result.narrow(0, rows.FirstRow, rows.Rows.Count))) continue;
            JobRun job = rows.Trace.Job;
            Exception error = Errors.CreateException(ErrorCode.BadArgument,
                "The streamer's first call shows the prompts; they cannot be replaced there.",
                "Pass other prompts, or replace the tokens of later calls.", GeneratorSites.Streamer);
            job.Fail(error, job.LastWriteNode ?? rows.Trace.Statement.Id);
        }
    }

    /// <summary>The call of the streamer with the selected tokens. The rows continue with the tokens that it returns.</summary>
    private void StreamTokens()
    {
        if (_interleaver.Hooks[_model.StreamerIndex] is null || _traces.All(p => p.Trace.HasEnded)) return;
        using var scope = torch.NewDisposeScope();
        long[] selected = [.. _traces.SelectMany(p => p.NextTokens)];
        torch.Tensor reported = torch.tensor(selected, dtype: torch.ScalarType.Int64, device: _model.Device);              // [batch]
        var result = (torch.Tensor)_interleaver.OnHookPoint(new HookPoint(_model.StreamerIndex, IsAfter: true), reported)!; // [batch]
        long[] tokens = result.cpu().contiguous().data<long>().ToArray();
        foreach (TraceRows rows in _traces)
            if (rows.IsGenerating && !rows.Trace.Job.HasFailed) RunGuarded(rows, () => rows.ReplaceTokens(tokens));
    }

    /// <summary>Commits the selected tokens and prepares the next pass. Traces that do not continue leave the batch.</summary>
    private void AdvanceStep()
    {
        foreach (TraceRows rows in _traces)
            if (rows.IsGenerating && !rows.HasStopped) rows.CommitTokens();
        foreach (TraceRows rows in _traces)
            if (rows.IsGenerating && !rows.HasEnded && !rows.HasStopped) rows.CheckPositions();
        List<TraceRows> continuing = [.. _traces.Where(p => p.IsGenerating && !p.HasEnded && !p.HasStopped)];
        if (continuing.Count == 0)
        {
            _traces = continuing;
            return;
        }
        foreach (TraceRows rows in _traces.Except(continuing))
            if (!rows.Trace.HasEnded) _interleaver.EndTrace(rows.Trace);
        foreach (TraceRows rows in continuing)
            if (rows.FindEndedInvokes() is { Count: > 0 } ended) _interleaver.EndInvokes(ended);
        SelectRows([.. continuing.SelectMany(p => p.AdvanceRows())]);
        bool isSmaller = continuing.Count < _traces.Count;
        _traces = continuing;
        _tokens.AppendTokens([.. _traces.SelectMany(p => p.NextTokens)]);
        PrepareStep();
        if (isSmaller) _interleaver = new Interleaver(_model, [.. Traces]);
        if (_model.Root.CacheRecomputeLength is { } length && _tokens.RowsPastLength(length) is { Length: > 0 } rowsPastLength)
            RecomputeCache(rowsPastLength, length);
    }

    /// <summary>Keeps these rows of tokens and cache, in this order; a row may occur several times.</summary>
    private void SelectRows(int[] rows)
    {
        if (rows.Length == _batchShape.BatchSize && !rows.Where((source, row) => source != row).Any()) return;
        _cache!.SelectRows(rows);
        _tokens.SelectRows(rows);
    }

    /// <summary>
    /// Computes the keys and values of rows again as for a prefill of all their tokens so far. Programs do not see this pass, so a trace
    /// whose edits of these rows are in the cache fails.
    /// </summary>
    /// <remarks>prepare_inputs_for_generation in transformers/models/phi3/modeling_phi3.py</remarks>
    private void RecomputeCache(int[] rows, long length)
    {
        foreach (TraceRows edited in _traces.Where(p => rows.Any(p.HasRow) && p.Trace.HasEditedCache(rows)))
        {
            JobRun job = edited.Trace.Job;
            Exception error = Errors.CreateException(ErrorCode.Unsupported,
                $"A row of this generation grows past {length} tokens, where {_model.Description.Architecture} computes its keys and "
                + "values again; they would be without the edits of the earlier steps.",
                $"Keep the prompt and its new tokens within {length}, begin with a prompt of more than {length} tokens, or edit only the "
                + "final norm and the logits.");
            job.Fail(error, job.LastWriteNode ?? edited.Trace.Statement.Id);
        }
        using var registration = SiteHook.Register(null);
        using var scope = torch.NewDisposeScope();
        var (ids, mask, positions) = _tokens.FullSequences(rows);
        using KeyValueCache recomputed = _model.NewCache();
        using (ids)
        using (mask)
        using (positions)
            _model.Root.Call(ids, mask, positions, recomputed, logitsToKeep: 1);
        _cache!.ReplaceRows(rows, recomputed);
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

    /// <summary>Prepares the input of the next step, after the rows of the batch or their tokens have changed.</summary>
    private void PrepareStep()
    {
        _tokens.PrepareStep();
        _cache!.SetLength(_tokens.Length - 1);
        AssignRows();
    }

    /// <summary>Assigns every slice its rows in the batch.</summary>
    private void AssignRows()
    {
        long start = 0;
        foreach (TraceRows rows in _traces)
        {
            rows.SetPosition(_batchShape, start, _tokens.Length);
            start += rows.RowCount;
        }
        _batchShape.BatchSize = start;
    }
}
