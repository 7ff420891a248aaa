using System.Numerics.Tensors;
using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Models;
using Ndif.Models.CpuKernels;
using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// The rows of one trace in the batch: those of its invokes, in order. If the trace generates, each input row is repeated for every beam
/// or returned sequence; the copies are adjacent.
/// </summary>
internal sealed class TraceRows : IPreparedTrace
{
    private readonly HookedLanguageModel _model;
    /// <summary>The input rows of each invoke, and the tokens of its longest prompt.</summary>
    private readonly OrderedDictionary<Interpreter, InvokeRows> _invokes = [];

    private readonly List<ISequenceDecoder> _decoders = [];

    /// <summary>For each input row, whether its rows are in the batch: until they have ended and no invoke observes them.</summary>
    private readonly bool[] _isInBatch;

    /// <summary>For each input row and the end, the number of input rows before it that are in the batch.</summary>
    private readonly int[] _inBatchBefore;

    private readonly List<TokenStreamer?> _streamers = [];
    private readonly int _rowsPerInput = 1, _sequencesPerInput = 1;
    private readonly long _padTokenId;
    private int _committedTokens;
    private float[] _scores = []; // the logits of the last pass: [batch, vocab]

    /// <exception cref="NdifException">
    /// BAD_INPUT or BAD_ARGUMENT: the input of an invoke, or the generation options, are not valid.
    /// </exception>
    public TraceRows(TraceRun trace, HookedLanguageModel model)
    {
        (Trace, _model) = (trace, model);
        Protocol.Messages.Trace node = trace.Statement.Trace;
        IsGenerating = node.Mode is Mode.Generate;
        ResolvedGenerationOptions? options = IsGenerating ? ResolvedGenerationOptions.Resolve(model.Defaults, node.Generation) : null;
        if (options is not null)
            (_rowsPerInput, _sequencesPerInput, _padTokenId) = (options.RowsPerInput, options.SequencesPerInput, options.PadTokenId);

        List<string> warnings = [];
        ulong seed = IsGenerating ? options!.Seed ?? trace.Job.NextSeed() : 0;
        List<List<InputRow>> rows = [];
        List<int> offsets = []; // the first input row of each invoke
        int promptCount = 0, inputCount = 0;
        for (int i = 0; i < node.Invokes.Count; i++)
        {
            Generation? overrides = node.Invokes[i].Generation;
            ResolvedGenerationOptions? invokeOptions = overrides is null || !IsGenerating ? options
                : ResolvedGenerationOptions.Resolve(model.Defaults, node.Generation, overrides);
            rows.Add(InputRowReader.ReadRows(trace.Statement.Invokes[i], model, trace.Job.Slots, (uint)(invokeOptions?.MaxNewTokens ?? 0)));
            offsets.Add(inputCount);
            inputCount += rows[i].Count;
            if (rows[i].Count > 0) promptCount++;
            // the seed of a trace counts its rows, the seed of an invoke those of the invoke
            if (invokeOptions is not null)
            {
                ulong invokeSeed = overrides is { HasSeed: true } ? overrides.Seed : seed + (ulong)_decoders.Count;
                AddDecoders(rows[i], invokeOptions, invokeSeed, promptCount - 1);
                if (rows[i].Count > 0) warnings.AddRange(invokeOptions.Warnings);
            }
            foreach (InputRow row in rows[i])
            {
                Rows.AddRange(Enumerable.Repeat(row, _rowsPerInput));
                if (invokeOptions is not null) CacheCapacity += _rowsPerInput * KeyValueCache.CapacityOf(MaxLength(row, invokeOptions));
            }
        }
        (_isInBatch, _inBatchBefore) = (new bool[inputCount], [.. Enumerable.Range(0, inputCount + 1)]);
        Array.Fill(_isInBatch, true);
        foreach (string warning in warnings.Distinct()) trace.Job.Warn(trace.Statement.Id, GeneratorSites.Generator, warning);
        SequenceLength = Rows.Count == 0 ? 0 : Rows.Max(r => r.InputIds.Length);
        for (int i = 0; i < rows.Count; i++)
        {
            InvokeInput invoke = trace.Statement.Invokes[i];
            int source = invoke.Beside ?? i; // an invoke without an input may share the rows of another one
            bool isEdit = invoke.Beside is not null;
            if (invoke.Input is null && !isEdit)
                AddInvoke(invoke.Region, isEdit, 0, Rows.Count / _rowsPerInput, SequenceLength);
            else
                AddInvoke(invoke.Region, isEdit, offsets[source], rows[source].Count, rows[source].Max(r => r.InputIds.Length));
        }
        AddInvoke(node.Region, false, 0, Rows.Count / _rowsPerInput, SequenceLength);
        RequiredLogits = RequiredLogits.Find(model, trace.Job.Plan, trace.Statement);
        trace.Result ??= invoke => IsGenerating ? ResultIds(invoke) : null;
    }

    public TraceRun Trace { get; }

    public bool IsGenerating { get; }

    /// <summary>The rows of the prompts.</summary>
    public List<InputRow> Rows { get; } = [];

    /// <summary>The number of rows in the batch.</summary>
    public int RowCount => _inBatchBefore[^1] * _rowsPerInput;

    /// <summary>The tokens of the longest prompt.</summary>
    public int SequenceLength { get; }

    public long CacheCapacity { get; }

    /// <summary>The index of the first row in the batch.</summary>
    public long FirstRow { get; private set; }

    /// <summary>Whether a row of the batch is one of this trace.</summary>
    public bool HasRow(int row) => row >= FirstRow && row < FirstRow + RowCount;

    /// <summary>The tokens of the next pass.</summary>
    public IEnumerable<long> NextTokens => IsGenerating ? DecodersInBatch.SelectMany(c => c.NextTokens) : Rows.Select(_ => 0L);

    /// <summary>
    /// Lets the rows leave that have ended or were stopped, and that no invoke observes. For each of the others, returns the row of the
    /// current batch whose cache it continues from.
    /// </summary>
    public List<int> AdvanceRows()
    {
        List<int> sources = [];
        HashSet<Interpreter> collecting = [.. Trace.Caches.Select(cache => cache.Invoke)];
        bool[] isObserved = FindInputs(invoke => !invoke.HasEnded && !(invoke.AppliesToEndedRows && HaveEnded(_invokes[invoke]))
            && (invoke is { IsDone: false, WaitReason: not WaitReason.Result } || collecting.Contains(invoke)));
        bool[] isNeeded = FindInputs(invoke => !invoke.IsDone), isStopped = FindInputs(invoke => invoke.HasStopped);
        int start = (int)FirstRow;
        for (int input = 0; input < _isInBatch.Length; input++)
        {
            if (_isInBatch[input])
            {
                List<ISequenceDecoder> decoders = _decoders.GetRange(input * DecodersPerInput, DecodersPerInput);
                bool hasEnded = decoders.All(decoder => decoder.HasEnded) || (isStopped[input] && !isNeeded[input]);
                _isInBatch[input] = isObserved[input] || !hasEnded;
                foreach (ISequenceDecoder decoder in decoders)
                {
                    if (_isInBatch[input]) sources.AddRange(decoder.SourceRows.Select(source => start + source));
                    start += decoder.RowCount;
                }
            }
            _inBatchBefore[input + 1] = _inBatchBefore[input] + (_isInBatch[input] ? 1 : 0);
        }
        foreach (var (invoke, rows) in _invokes)
            if (invoke.AppliesToEndedRows && _inBatchBefore[rows.End] == _inBatchBefore[rows.Offset]) invoke.HasEnded = true;
        return sources;
    }

    /// <summary>Whether the program has a site in the model, so that it observes how the pass over the prompts runs.</summary>
    public bool HasModelSites => Trace.Statement.Trace.Gradients
        || Trace.Job.Plan.HookPoints.Any(point => point.Module != _model.StreamerIndex);

    /// <summary>The logits that the program uses. A generation uses all of the last tokens.</summary>
    public RequiredLogits RequiredLogits { get; }

    /// <summary>Whether an invoke has statements and sees rows of different lengths, so that it sees padding.</summary>
    public bool HasVisiblePadding => _invokes.Any(entry => Trace.Job.Plan.Regions[entry.Key.Region].Length > 0
        && Rows.Skip(entry.Value.Offset * _rowsPerInput).Take(entry.Value.Count * _rowsPerInput)
            .Any(row => row.InputIds.Length != entry.Value.SequenceLength));

    /// <summary>Whether all rows are finished.</summary>
    public bool HasEnded => DecodersInBatch.All(c => c.HasEnded);

    /// <summary>Whether the job has failed, or its invokes are done and one of them has called Stop.</summary>
    public bool HasStopped => Trace.Job.HasFailed || (Trace.Invokes.All(i => i.IsDone || i.IsEdit) && Trace.Invokes.Any(i => i.HasStopped));

    /// <summary>The invokes that still run although all of their rows are finished.</summary>
    public IReadOnlyList<Interpreter> FindEndedInvokes()
    {
        return [.. from entry in _invokes
                   where !entry.Key.HasEnded && HaveEnded(entry.Value)
                   select entry.Key];
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

    /// <summary>Sets the position of the rows in a batch, and the slices of the invokes.</summary>
    /// <param name="batchLength">The tokens of each row of the batch so far, with padding.</param>
    public void SetPosition(BatchShape batchShape, long firstRow, int batchLength)
    {
        FirstRow = firstRow;
        foreach (var (invoke, rows) in _invokes)
        {
            BatchSlice slice = invoke.Slice!;
            (slice.Batch, slice.LeftPadding) = (batchShape, batchLength - (rows.SequenceLength + _committedTokens));
            int before = _inBatchBefore[rows.Offset];
            (slice.Start, slice.Count) = (firstRow + before * _rowsPerInput, (_inBatchBefore[rows.End] - before) * _rowsPerInput);
        }
    }

    /// <summary>Selects the next token of each row.</summary>
    /// <param name="logits">[batch, seq, vocab] of the whole batch</param>
    public void SelectTokens(torch.Tensor logits)
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
            else if (!decoder.HasEnded || decoder.RowCount > 1) decoder.SelectTokens(scores, vocab);
            row += decoder.RowCount;
        }
        foreach (ISequenceDecoder decoder in decoders)
            if (decoder.HasEnded) Array.Fill(decoder.NextTokens, _padTokenId);
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

    private int DecodersPerInput => _decoders.Count / _isInBatch.Length;

    private IEnumerable<ISequenceDecoder> DecodersInBatch => _decoders.Where((_, i) => _isInBatch[i / DecodersPerInput]);

    /// <summary>The most tokens that a row can have.</summary>
    private long MaxLength(InputRow row, ResolvedGenerationOptions options)
    {
        long length = row.InputIds.Length + (long)options.MaxNewTokens;
        return _model.Root.HasPositionTable && _model.Description.ContextLength is > 0 and var context
            ? Math.Min(length, Math.Max(row.InputIds.Length, context)) : length;
    }

    /// <summary>For each input row, whether any of its invokes meets a condition.</summary>
    private bool[] FindInputs(Func<Interpreter, bool> condition)
    {
        var changes = new int[_isInBatch.Length + 1]; // the number of such invokes of an input row, less that of the row before it
        foreach (var (invoke, rows) in _invokes)
        {
            if (!condition(invoke)) continue;
            changes[rows.Offset]++;
            changes[rows.End]--;
        }
        var isFound = new bool[_isInBatch.Length];
        int count = 0;
        for (int input = 0; input < isFound.Length; input++) isFound[input] = (count += changes[input]) > 0;
        return isFound;
    }

    private bool HaveEnded(InvokeRows rows) => DecodersOf(rows).All(decoder => decoder.HasEnded);

    /// <summary>The decoders of the rows of an invoke: one for each sequence, or for each input row of a beam search.</summary>
    private List<ISequenceDecoder> DecodersOf(InvokeRows rows)
    {
        return _decoders.GetRange(rows.Offset * DecodersPerInput, rows.Count * DecodersPerInput);
    }

    private void AddInvoke(uint region, bool isEdit, int offset, int count, int sequenceLength)
    {
        var slice = new BatchSlice(new BatchShape(), offset * _rowsPerInput, count * _rowsPerInput, 0);
        var invoke = new Interpreter(Trace.Job, region, slice) { IsEdit = isEdit };
        _invokes.Add(invoke, new InvokeRows(offset, count, sequenceLength));
        Trace.Add(invoke);
    }

    private void AddDecoders(List<InputRow> rows, ResolvedGenerationOptions options, ulong seed, int invoke)
    {
        for (int row = 0; row < rows.Count * (options.NumBeams > 1 ? 1 : _rowsPerInput); row++)
        {
            InputRow input = rows[options.NumBeams > 1 ? row : row / _rowsPerInput];
            long[] prompt = input.AttentionMask is { } mask ? [.. input.InputIds.Where((_, at) => mask[at] != 0)] : input.InputIds;
            StopStringCriteria? stopStrings = options.StopStrings.Count == 0 ? null
                : new StopStringCriteria(_model.Tokenizer, options.StopStrings, prompt);
            var random = new RowRandomGenerator(seed + (ulong)row);
            _decoders.Add(options.NumBeams > 1 ? new BeamSearchDecoder(options, prompt, random, stopStrings)
                : new SingleSequenceDecoder(options, prompt, random, stopStrings));
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

    /// <summary>The input rows of an invoke: the index of the first one, their number, and the tokens of the longest prompt.</summary>
    private readonly record struct InvokeRows(int Offset, int Count, int SequenceLength)
    {
        public int End => Offset + Count;
    }
}
