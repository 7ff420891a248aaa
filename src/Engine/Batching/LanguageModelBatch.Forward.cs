using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>The passes through the model.</summary>
internal sealed partial class LanguageModelBatch
{
    /// <summary>Runs one forward pass, and selects the next token of the rows that generate.</summary>
    private void Forward()
    {
        using var scope = torch.NewDisposeScope();
        bool needsWholePass = _traces.Any(p => !p.IsGenerating || p.HasModelSites);
        _batchShape.AttentionMask = _tokens.AttentionMask;
        _batchShape.HasLastLogitsOnly = _model.Root.Task.Generates() && _batchShape.IsPrefill
            && _traces.All(p => p.RequiredLogits.AreOfLastTokens);
        bool areTokenIdsListed = _batchShape.HasLastLogitsOnly && !_model.IsOnMetaDevice
            && _traces.All(p => !p.IsGenerating && p.RequiredLogits.TokenIds is not null);
        _interleaver.RequiredTokenIds = areTokenIdsListed ? _traces.SelectMany(p => p.RequiredLogits.TokenIds!).ToHashSet() : null;
        bool isUnobservedPrefill = _batchShape.IsPrefill && !needsWholePass;
        int done = _interleaver.Reuse?.ColumnCount ?? 0;
        if (isUnobservedPrefill && _encoderTokens is null && _model.PrefillChunkSize > 0 && _tokens.Length - done > _model.PrefillChunkSize
            && _interleaver.Reuse is null or { LayerCount: 0 } && !_model.Root.HasLengthDependentRope)
        {
            _interleaver.Reuse = null; // it would see the tokens of the last chunk only
            done = RunPrefillChunks(done);
        }
        // rows that have ended go on with padding at the last position
        torch.Tensor positions = _model.Root.HasPositionTable && _tokens.MaxPosition >= _model.Description.ContextLength
            ? _tokens.PositionIds.clamp_max(_model.Description.ContextLength - 1) : _tokens.PositionIds; // [batch, seq]
        ModelInputs inputs = NewInputs(done, positions);
        if (_encoderTokens is not null) _batchShape.EncoderLength = inputs.AttentionMask.size(1);
        using var registration = SiteHook.Register(_interleaver.Hooks, _interleaver.OnPreemptionPoint);
        ModelOutput output;
        try
        {
            output = _model.Root.Call(inputs);
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
                RunGuarded(rows, () => rows.SelectTokens((torch.Tensor)output["logits"]!, _onPreemptionPoint));
                continue;
            }
            if (!rows.IsGenerating) rows.Trace.Result = invoke => invoke.Slice!.Narrow(output, _model.Root.OutputAxes);
            _interleaver.EndTrace(rows.Trace); // while the output is still alive
        }
    }

    /// <summary>The inputs of the next pass. In an encoder-decoder, only the pass over the prompts runs the encoder.</summary>
    /// <param name="done">The number of columns that are in the cache.</param>
    /// <param name="positions">[batch, seq]</param>
    private ModelInputs NewInputs(int done, torch.Tensor positions)
    {
        int logitsToKeep = _batchShape.HasLastLogitsOnly ? 1 : 0;
        if (_encoderTokens is not { } encoder)
        {
            long remaining = _tokens.InputIds.size(1) - done;
            return new ModelInputs(done == 0 ? _tokens.InputIds : _tokens.InputIds.narrow(1, done, remaining), _tokens.AttentionMask,
                done == 0 ? positions : positions.narrow(1, done, remaining), _cache, logitsToKeep)
            {
                TokenTypeIds = _tokens.TokenTypeIds,
            };
        }
        (torch.Tensor? hidden, torch.Tensor mask) = _batchShape.IsPrefill ? (null, encoder.AttentionMask)
            : _cache!.EncoderOutput()!.Value; // [batch, encoderSeq, hidden], [batch, encoderSeq]
        return new ModelInputs(encoder.InputIds, mask, encoder.PositionIds, _cache, logitsToKeep)
        {
            DecoderInputIds = _tokens.InputIds, DecoderAttentionMask = _tokens.AttentionMask, EncoderOutput = hidden,
        };
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
        using var registration = SiteHook.Register(null, _interleaver.OnPreemptionPoint);
        for (; start + chunk < _tokens.Length; start += chunk)
        {
            using var scope = torch.NewDisposeScope();
            _interleaver.OnPreemptionPoint();
            _model.Root.Call(new(_tokens.InputIds.narrow(1, start, chunk), _tokens.AttentionMask.narrow(1, 0, start + chunk),
                _tokens.PositionIds.narrow(1, start, chunk), _cache, LogitsToKeep: 1));
        }
        return start;
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
            _model.Root.Call(new(ids, mask, positions, recomputed, LogitsToKeep: 1));
        _cache!.ReplaceRows(rows, recomputed);
    }
}
