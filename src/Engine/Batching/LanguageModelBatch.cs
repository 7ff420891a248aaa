using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
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
internal sealed partial class LanguageModelBatch : ITraceBatch
{
    private readonly HookedLanguageModel _model;
    private readonly Action _onPreemptionPoint;
    private readonly BatchShape _batchShape;
    private readonly TokenBatch _tokens;
    private readonly TokenBatch? _encoderTokens; // of the prompts, in an encoder-decoder
    private KeyValueCache? _cache;
    private List<TraceRows> _traces;
    private Interleaver _interleaver;

    private LanguageModelBatch(HookedLanguageModel model, List<TraceRows> traces, Action onPreemptionPoint)
    {
        (_model, _traces, _onPreemptionPoint) = (model, traces, onPreemptionPoint);
        // a pad token that was added to the tokenizer alone has no row in the embedding
        long padTokenId = model.PadTokenId < model.Description.Vocabulary ? model.PadTokenId : 0;
        InputRow[] rows = [.. traces.SelectMany(p => p.Rows)];
        bool hasEncoder = model.Root.Task is ModelTask.Seq2SeqLm, padsRight = model.Root.PadsRight && !hasEncoder;
        _tokens = new TokenBatch(rows, model.Device, padTokenId, padsRight, model.Root.TokenTypeCount > 0);
        if (hasEncoder) _encoderTokens = new TokenBatch([.. rows.Select(row => row.Encoder!)], model.Device, padTokenId, padsRight: true);
        _batchShape = new BatchShape { PadsRight = padsRight, SequenceLength = _tokens.Length };
        AssignRows(); // 2
        _interleaver = NewInterleaver();
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
        _encoderTokens?.Dispose();
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
        _interleaver = NewInterleaver();
    }

    private Interleaver NewInterleaver() => new(_model, [.. Traces], _onPreemptionPoint);

    private void RunPass(Action begin)
    {
        List<TraceRows> traces = _traces;
        foreach (TraceRows rows in traces.Where(rows => rows.Trace.RequiresGrad)) rows.Trace.Job.Slots.OnPassStarted();
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
        foreach (TraceRows rows in traces.Where(rows => rows.Trace.RequiresGrad)) rows.Trace.Job.Slots.OnPassEnded(rows.PassBytes);
    }

    private void CountUsage()
    {
        foreach (TraceRows rows in _traces)
        {
            JobRun job = rows.Trace.Job; // a job stands at one trace
            job.TokenCount += _batchShape.IsPrefill ? rows.Rows.Sum(r => r.InputIds.Length + r.EncoderLength) : rows.RowCount;
            job.ForwardPassCount++;
            if (_interleaver.Reuse is not { } reuse) continue;
            job.ReusedLayerCount += reuse.LayerCount;
            job.ReusedTokenCount += reuse.TokenCountOf(rows);
        }
    }

    /// <summary>Commits the selected tokens and prepares the next pass. Traces that do not continue leave the batch.</summary>
    private void AdvanceStep()
    {
        foreach (TraceRows rows in _traces)
            if (rows.IsGenerating && !rows.HasStopped) RunGuarded(rows, rows.CommitTokens);
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
        if (isSmaller) _interleaver = NewInterleaver();
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
