using System.Numerics.Tensors;
using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// One trace's rows in the batch: those of its invokes, in order, and if it generates each of them as many times as it has beams or
/// sequences to return, side by side.
/// </summary>
internal sealed class TraceRows
{
    private readonly HookedLanguageModel _model;
    private readonly List<(Interpreter Invoke, int Offset, int Count, int Width)> _invokes = []; // in rows of the input
    private readonly List<ISequenceDecoder> _decoders = [];
    private readonly List<TokenStreamer?> _streamers = [];
    private readonly int _rowsPerInput = 1, _sequencesPerInput = 1;
    private readonly long _padTokenId;
    private float[] _scores = []; // of the last pass, [batch, vocab]

    /// <exception cref="NdifException">BAD_INPUT or BAD_ARGUMENT: an invoke's input, or the generation's options.</exception>
    public TraceRows(TraceRun trace, HookedLanguageModel model, BatchShape batchShape)
    {
        (Trace, _model) = (trace, model);
        Protocol.Trace node = trace.Statement.Trace;
        IsGenerating = node.Mode is Mode.Generate;
        ResolvedGenerationOptions? options = IsGenerating ? ResolvedGenerationOptions.Resolve(model.Defaults, node.Generation) : null;
        if (options is not null) (_rowsPerInput, _sequencesPerInput, _padTokenId) = (options.RowsPerInput, options.SequencesPerInput, options.PadTokenId);

        ulong seed = IsGenerating ? options!.Seed ?? trace.Job.NextSeed() : 0;
        List<List<InputRow>> rows = [];
        for (int i = 0; i < node.Invokes.Count; i++)
        {
            Generation? asked = node.Invokes[i].Generation;
            ResolvedGenerationOptions? own = asked is null || !IsGenerating ? options
                : ResolvedGenerationOptions.Resolve(model.Defaults, node.Generation, asked);
            rows.Add(InputRowReader.ReadRows(trace.Statement.Invokes[i], model, trace.Job.Slots, (uint)(own?.MaxNewTokens ?? 0)));
            // a trace's seed counts through its rows, an invoke's own through the invoke's
            if (own is not null) AddDecoders(rows[i], own, asked is { HasSeed: true } ? asked.Seed : seed + (ulong)_decoders.Count, rows.Count(r => r.Count > 0) - 1);
            foreach (InputRow row in rows[i]) Rows.AddRange(Enumerable.Repeat(row, _rowsPerInput));
        }
        SequenceLength = Rows.Count == 0 ? 0 : Rows.Max(r => r.InputIds.Length);
        for (int i = 0; i < rows.Count; i++)
        {
            InvokeInput invoke = trace.Statement.Invokes[i];
            int owner = invoke.Beside ?? i;
            if (invoke.Input is null && invoke.Beside is null) AddInvoke(invoke.Region, 0, Rows.Count / _rowsPerInput, SequenceLength, batchShape);
            else AddInvoke(invoke.Region, rows.Take(owner).Sum(r => r.Count), rows[owner].Count, rows[owner].Max(r => r.InputIds.Length), batchShape);
        }
        AddInvoke(node.Region, 0, Rows.Count / _rowsPerInput, SequenceLength, batchShape);
        trace.Result ??= invoke => IsGenerating ? ResultIds(invoke) : null;
    }

    public TraceRun Trace { get; }

    public bool IsGenerating { get; }

    public List<InputRow> Rows { get; } = [];

    /// <summary>Tokens of its longest prompt.</summary>
    public int SequenceLength { get; }

    /// <summary>Where its rows begin in the batch.</summary>
    public long FirstRow { get; private set; }

    /// <summary>The tokens of the next pass.</summary>
    public IEnumerable<long> NextTokens => IsGenerating ? _decoders.SelectMany(c => c.NextTokens) : Rows.Select(_ => 0L);

    /// <summary>The rows of the batch from which its rows go on.</summary>
    public IEnumerable<int> SourceRows
    {
        get
        {
            int start = (int)FirstRow;
            foreach (ISequenceDecoder continuation in _decoders)
            {
                foreach (int from in continuation.SourceRows) yield return start + from;
                start += continuation.RowCount;
            }
        }
    }

    /// <summary>False if its program has no site in the model, so that how the prompts' pass is run is nobody's concern.</summary>
    public bool HasModelSites => Trace.Statement.Trace.Gradients || Trace.Job.Plan.HookPoints.Any(point => point.Module != _model.StreamerIndex);

    /// <summary>True if no row has anything more to come.</summary>
    public bool HasEnded => _decoders.All(c => c.HasEnded);

    public bool HasStopped => Trace.Job.HasFailed || (Trace.Invokes.All(i => i.IsDone) && Trace.Invokes.Any(i => i.HasStopped));

    public void SetPosition(long firstRow, int sequenceLength)
    {
        FirstRow = firstRow;
        foreach (var (invoke, offset, _, own) in _invokes) (invoke.Slice!.Start, invoke.Slice.LeftPadding) = (firstRow + offset * _rowsPerInput, sequenceLength - own);
    }

    /// <summary>Chooses the next token of each row.</summary>
    /// <param name="logits">[batch of the batch, seq, vocab]</param>
    public void SelectTokens(torch.Tensor logits)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor last = logits.narrow(0, FirstRow, Rows.Count).select(1, -1);      // [batch, vocab]
        int vocabulary = (int)last.size(1);
        // another device's scores stay there, unless somebody wants to see them
        bool isHere = last.device_type == DeviceType.CPU;
        long[] likeliest = isHere || _decoders.All(c => c.NeedsScores) ? [] : last.argmax(-1).cpu().data<long>().ToArray();
        if (isHere || _decoders.Any(c => c.NeedsScores))
        {
            if (_scores.Length < last.numel()) _scores = new float[last.numel()];
            TensorElements.CopyTo(last, _scores);
        }
        int row = 0;
        foreach (ISequenceDecoder continuation in _decoders)
        {
            Span<float> scores = _scores.Length == 0 ? [] : _scores.AsSpan(row * vocabulary, continuation.RowCount * vocabulary);
            if (!continuation.NeedsScores) continuation.NextTokens[0] = isHere ? TensorPrimitives.IndexOfMax(scores) : likeliest[row];
            else if (!continuation.HasEnded || continuation.RowCount > 1) continuation.SelectTokens(scores, vocabulary);
            row += continuation.RowCount;
        }
        foreach (ISequenceDecoder ended in _decoders)
            if (ended.HasEnded) Array.Fill(ended.NextTokens, _padTokenId);
    }

    /// <summary>What became of the chosen tokens at the streamer's site.</summary>
    /// <param name="tokens">Of the whole batch.</param>
    public void ReplaceTokens(ReadOnlySpan<long> tokens)
    {
        int row = (int)FirstRow;
        foreach (ISequenceDecoder continuation in _decoders)
        {
            ReadOnlySpan<long> given = tokens.Slice(row, continuation.RowCount);
            row += continuation.RowCount;
            if (given.SequenceEqual(continuation.NextTokens) || continuation.HasEnded) continue;
            if (continuation.RowCount > 1)
                throw Errors.CreateException(ErrorCode.Unsupported, "The tokens of a beam search cannot be replaced: its scores are those of the tokens it chose.", "Generate with one beam.", GeneratorSites.Streamer);
            if (given[0] < 0 || given[0] >= _model.Description.Vocabulary)
                throw Errors.CreateException(ErrorCode.BadInput, $"The token id {given[0]} is not in the vocabulary of {_model.Description.Vocabulary} tokens.", module: GeneratorSites.Streamer);
            given.CopyTo(continuation.NextTokens);
        }
    }

    /// <summary>Takes the chosen tokens, and tells of them.</summary>
    public void CommitTokens()
    {
        for (int i = 0; i < _decoders.Count; i++)
        {
            bool goesOn = !_decoders[i].HasEnded;
            _decoders[i].CommitTokens();
            if (goesOn) _streamers[i]?.Publish(_decoders[i].NextTokens[0], _decoders[i].HasEnded);
        }
    }

    private void AddInvoke(uint region, int offset, int count, int sequenceLength, BatchShape batchShape)
    {
        var invoke = new Interpreter(Trace.Job, region, new BatchSlice(batchShape, offset * _rowsPerInput, count * _rowsPerInput, 0));
        _invokes.Add((invoke, offset, count, sequenceLength));
        Trace.Add(invoke);
    }

    private void AddDecoders(List<InputRow> rows, ResolvedGenerationOptions options, ulong seed, int invoke)
    {
        for (int row = 0; row < rows.Count * (options.NumBeams > 1 ? 1 : _rowsPerInput); row++)
        {
            InputRow input = rows[options.NumBeams > 1 ? row : row / _rowsPerInput];
            long[] prompt = input.AttentionMask is { } mask ? [.. input.InputIds.Where((_, at) => mask[at] != 0)] : input.InputIds;
            StopStringCriteria? stops = options.StopStrings.Count == 0 ? null : new StopStringCriteria(_model.Tokenizer, options.StopStrings, prompt);
            var random = new RowRandomGenerator(seed + (ulong)row);
            _decoders.Add(options.NumBeams > 1 ? new BeamSearchDecoder(options, prompt, random, stops) : new SingleSequenceDecoder(options, prompt, random, stops));
            _streamers.Add(!options.Values.Stream ? null : new TokenStreamer(Trace.Job,
                new NewToken { Trace = Trace.Statement.Id, Invoke = (uint)invoke, Row = (uint)row }, _model.HasTokenizer ? _model.Tokenizer : null, prompt));
        }
    }

    /// <summary>The prompt's tokens and the new ones, of an invoke's rows. [batch * sequences returned, prompt + new]</summary>
    private torch.Tensor ResultIds(Interpreter invoke)
    {
        (_, int offset, int count, int width) = _invokes.First(v => ReferenceEquals(v.Invoke, invoke));
        IReadOnlyList<long>[] all = [.. _decoders.SelectMany(c => c.Sequences)];
        int made = all.Length == 0 ? 0 : all.Max(r => r.Count), length = width + made;
        var ids = new long[count * _sequencesPerInput * length];
        for (int i = 0; i < count * _sequencesPerInput; i++)
        {
            long[] prompt = Rows[(offset + i / _sequencesPerInput) * _rowsPerInput].InputIds;
            IReadOnlyList<long> added = all[offset * _sequencesPerInput + i];
            Span<long> row = ids.AsSpan(i * length, length);
            prompt.CopyTo(row[(width - prompt.Length)..]);
            for (int at = 0; at < made; at++) row[width + at] = at < added.Count ? added[at] : _padTokenId;
        }
        return torch.tensor(ids, [count * _sequencesPerInput, length], dtype: torch.ScalarType.Int64, device: Trace.Job.Context.Device);
    }
}
