using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>The site of the streamer: it reports the prompts and then the tokens of each step, which a program may replace.</summary>
internal sealed partial class LanguageModelBatch
{
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
}
