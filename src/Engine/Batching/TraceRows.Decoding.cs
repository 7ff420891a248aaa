using System.Numerics.Tensors;
using Ndif.Engine.Generating;
using Ndif.Engine.Interleaving;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>The tokens that the rows generate.</summary>
internal sealed partial class TraceRows
{
    /// <summary>Selects the next token of each row.</summary>
    /// <param name="logits">[batch, seq, vocab] of the whole batch</param>
    /// <param name="onPreemptionPoint">Called between two rows, where passes of other traces may run.</param>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    public void SelectTokens(torch.Tensor logits, Action onPreemptionPoint)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor last = logits.narrow(0, FirstRow, RowCount).select(1, -1);      // [trace's rows, vocab]
        int vocab = (int)last.size(1);
        // logits on another device are copied to the CPU only if a decoder needs them
        bool isOnCpu = last.device_type == DeviceType.CPU;
        List<ISequenceDecoder> decoders = [.. DecodersInBatch];
        long[] argmax = isOnCpu || decoders.All(c => c.NeedsScores) ? [] : last.argmax(-1).cpu().data<long>().ToArray();
        if (isOnCpu || decoders.Any(c => c.NeedsScores))
        {
            if (_scores.Length < last.numel()) _scores = new float[last.numel()];
            TensorElements.CopyTo(last, _scores);
        }
        int row = 0;
        foreach (ISequenceDecoder decoder in decoders)
        {
            Span<float> scores = _scores.Length == 0 ? [] : _scores.AsSpan(row * vocab, decoder.RowCount * vocab);
            if (!decoder.NeedsScores) decoder.NextTokens[0] = isOnCpu ? TensorPrimitives.IndexOfMax(scores) : argmax[row];
            else if (!decoder.HasEnded || decoder.RowCount > 1)
            {
                BetweenParts();
                decoder.SelectTokens(scores, vocab, BetweenParts);
            }
            row += decoder.RowCount;
        }
        foreach (ISequenceDecoder decoder in decoders)
            if (decoder.HasEnded) Array.Fill(decoder.NextTokens, _padTokenId);

        void BetweenParts()
        {
            Trace.Job.Limits.ThrowIfCancelled();
            onPreemptionPoint();
        }
    }

    /// <summary>Replaces the selected tokens by those that the streamer's site returned.</summary>
    /// <param name="tokens">The tokens of the whole batch.</param>
    public void ReplaceTokens(ReadOnlySpan<long> tokens)
    {
        int row = (int)FirstRow;
        foreach (ISequenceDecoder decoder in DecodersInBatch)
        {
            ReadOnlySpan<long> replacement = tokens.Slice(row, decoder.RowCount);
            row += decoder.RowCount;
            if (replacement.SequenceEqual(decoder.NextTokens) || decoder.HasEnded) continue;
            if (decoder.RowCount > 1)
                throw Errors.CreateException(ErrorCode.Unsupported,
                    "The tokens of a beam search cannot be replaced: its scores are those of the tokens it chose.",
                    "Generate with one beam.", GeneratorSites.Streamer);
            if (replacement[0] < 0 || replacement[0] >= _model.Description.Vocabulary)
                throw Errors.CreateException(ErrorCode.BadInput,
                    $"The token id {replacement[0]} is not in the vocabulary of {_model.Description.Vocabulary} tokens.",
                    module: GeneratorSites.Streamer);
            replacement.CopyTo(decoder.NextTokens);
        }
    }

    /// <summary>Appends the selected tokens to their rows and publishes them.</summary>
    public void CommitTokens()
    {
        _committedTokens++;
        for (int i = 0; i < _decoders.Count; i++)
        {
            if (!_isInBatch[i / DecodersPerInput]) continue;
            bool isRunning = !_decoders[i].HasEnded;
            _decoders[i].CommitTokens();
            if (isRunning) _streamers[i]?.Publish(_decoders[i].NextTokens[0], _decoders[i].HasEnded);
        }
    }

    /// <summary>Fails the job if a row needs a position after the last of the model's table for its next pass.</summary>
    public void CheckPositions()
    {
        if (!_model.Root.HasPositionTable || _model.Description.ContextLength is not (> 0 and var context)) return;
        for (int i = 0, row = 0; i < _decoders.Count; row += _decoders[i++].RowCount)
        {
            long prompt = Rows[row].AttentionMask?.Sum() ?? Rows[row].InputIds.Length;
            if (_decoders[i].HasEnded || !_isInBatch[i / DecodersPerInput] || prompt + _committedTokens <= context) continue;
            Trace.Job.Fail(Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"Step {_committedTokens} of the generation needs position {prompt + _committedTokens - 1} for a row, and "
                + $"`{_model.Description.Id}` has {context} positions, 0 to {context - 1} (max_position_embeddings).",
                $"Ask for at most {context - prompt + 1} new tokens after the {prompt} tokens of its prompt."), Trace.Statement.Id);
            return;
        }
    }

    private void AddDecoders(List<InputRow> rows, ResolvedGenerationOptions options, ulong seed, int invoke)
    {
        for (int row = 0; row < rows.Count * (options.NumBeams > 1 ? 1 : _rowsPerInput); row++)
        {
            InputRow input = rows[options.NumBeams > 1 ? row : row / _rowsPerInput];
            long[] prompt = input.Tokens;
            StopStringCriteria? stopStrings = options.StopStrings.Count == 0 ? null
                : new StopStringCriteria(_model.Tokenizer, options.StopStrings, prompt);
            var random = new RowRandomGenerator(seed + (ulong)row);
            _decoders.Add(options.NumBeams > 1 ? new BeamSearchDecoder(options, prompt, input.Encoder?.Tokens, random, stopStrings)
                : new SingleSequenceDecoder(options, prompt, input.Encoder?.Tokens, random, stopStrings));
            var position = new NewToken { Trace = Trace.Statement.Id, Invoke = (uint)invoke, Row = (uint)row };
            _streamers.Add(options.Values.Stream
                ? new TokenStreamer(Trace.Job, position, _model.HasTokenizer ? _model.Tokenizer : null, prompt) : null);
        }
    }

    /// <summary>
    /// The tokens of the prompts and the generated ones, for the rows of an invoke: [batch · sequences per input, prompt + generated].
    /// </summary>
    private torch.Tensor ResultIds(Interpreter invoke)
    {
        InvokeRows rows = _invokes[invoke];
        (int offset, int count, int promptLength) = rows;
        IReadOnlyList<long>[] sequences = [.. DecodersOf(rows).SelectMany(decoder => decoder.Sequences)];
        int generatedLength = sequences.Length == 0 ? 0 : sequences.Max(r => r.Count), length = promptLength + generatedLength;
        var ids = new long[count * _sequencesPerInput * length];
        Array.Fill(ids, _padTokenId);
        for (int i = 0; i < count * _sequencesPerInput; i++)
        {
            long[] prompt = Rows[(offset + i / _sequencesPerInput) * _rowsPerInput].InputIds;
            IReadOnlyList<long> generated = sequences[i];
            Span<long> row = ids.AsSpan(i * length, length);
            row[..(promptLength - prompt.Length)].Fill(_model.PadTokenId);
            prompt.CopyTo(row[(promptLength - prompt.Length)..]);
            for (int j = 0; j < generated.Count; j++) row[promptLength + j] = generated[j];
        }
        return torch.tensor(ids, [count * _sequencesPerInput, length], dtype: torch.ScalarType.Int64, device: Trace.Job.Context.Device);
    }
}
