using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Reuse;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Programs;

namespace Ndif.Engine.Batching;

/// <summary>
/// The rows of one trace in the batch: those of its invokes, in order. If the trace generates, each input row is repeated for every beam
/// or returned sequence; the copies are adjacent.
/// </summary>
internal sealed partial class TraceRows : IPreparedTrace
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
    /// <exception cref="OperationCanceledException">The job was cancelled or preempted.</exception>
    public TraceRows(TraceRun trace, HookedLanguageModel model)
    {
        (Trace, _model) = (trace, model);
        Protocol.Messages.Trace node = trace.Statement.Trace;
        IsGenerating = node.Mode is Mode.Generate;
        ResolvedGenerationOptions? options = IsGenerating ? ResolvedGenerationOptions.Resolve(model.Defaults, node.Generation) : null;
        if (options is not null)
            (_rowsPerInput, _sequencesPerInput, _padTokenId) = (options.RowsPerInput, options.SequencesPerInput, options.PadTokenId);

        if (IsGenerating) RequireMemoryOfOptions(node);
        options?.OnPart = trace.Job.Limits.BetweenParts;
        List<string> warnings = [];
        ulong seed = IsGenerating ? options!.Seed ?? trace.Job.NextSeed() : 0;
        var reader = new InputRowReader(trace.Job, model);
        List<List<InputRow>> rows = [];
        List<int> offsets = []; // the first input row of each invoke
        ResolvedGenerationOptions? latest = options; // of the invokes before
        int promptCount = 0, inputCount = 0;
        for (int i = 0; i < node.Invokes.Count; i++)
        {
            trace.Job.Limits.BetweenParts();
            Generation? overrides = node.Invokes[i].Generation;
            ResolvedGenerationOptions? invokeOptions = overrides is null || !IsGenerating ? options
                : ResolveForInvoke(overrides, options!, latest!);
            latest = invokeOptions;
            rows.Add(reader.ReadRows(trace.Statement.Invokes[i], (uint)(invokeOptions?.MaxNewTokens ?? 0)));
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
                if (invokeOptions is not null) CacheCapacity += _rowsPerInput
                    * (KeyValueCache.CapacityOf(MaxLength(row, invokeOptions)) + row.EncoderLength);
            }
        }
        (_isInBatch, _inBatchBefore) = (new bool[inputCount], [.. Enumerable.Range(0, inputCount + 1)]);
        Array.Fill(_isInBatch, true);
        foreach (string warning in warnings.Distinct()) trace.Job.Warn(trace.Statement.Id, GeneratorSites.Generator, warning);
        SequenceLength = Rows.Count == 0 ? 0 : Rows.Max(r => r.InputIds.Length);
        for (int i = 0; i < rows.Count; i++)
        {
            trace.Job.Limits.BetweenParts();
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
        PassBytes = model.BytesOfPass(Rows.Count, SequenceLength, RequiredLogits.AreOfLastTokens, node.Gradients);
        trace.Result ??= invoke => IsGenerating ? ResultIds(invoke) : null;
    }

    public TraceRun Trace { get; }

    public bool IsGenerating { get; }

    /// <summary>The rows of the prompts.</summary>
    public List<InputRow> Rows { get; } = [];

    /// <summary>The number of rows in the batch.</summary>
    public int RowCount => _inBatchBefore[^1] * _rowsPerInput;

    /// <summary>The tokens of the longest prompt; in an encoder-decoder those of the decoder.</summary>
    public int SequenceLength { get; }

    int IPreparedTrace.SequenceLength => Rows.Select(row => row.EncoderLength).Append(SequenceLength).Max();

    public long CacheCapacity { get; }

    public double PassBytes { get; }

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

    /// <summary>Sets the position of the rows in a batch, and the slices of the invokes.</summary>
    /// <param name="batchLength">The tokens of each row of the batch so far, with padding.</param>
    public void SetPosition(BatchShape batchShape, long firstRow, int batchLength)
    {
        (FirstRow, Trace.RowCount) = (firstRow, RowCount);
        foreach (var (invoke, rows) in _invokes)
        {
            BatchSlice slice = invoke.Slice!;
            (slice.Batch, slice.Padding) = (batchShape, batchLength - (rows.SequenceLength + _committedTokens));
            int before = _inBatchBefore[rows.Offset];
            slice.EncoderLength = EncoderLengthOf(rows);
            (slice.Start, slice.Count) = (firstRow + before * _rowsPerInput, (_inBatchBefore[rows.End] - before) * _rowsPerInput);
        }
    }

    /// <summary>The encoder's tokens of the longest row of an invoke that is in the batch.</summary>
    private int EncoderLengthOf(InvokeRows rows)
    {
        int longest = 0;
        for (int input = rows.Offset; input < rows.End; input++)
            if (_isInBatch[input]) longest = Math.Max(longest, Rows[input * _rowsPerInput].EncoderLength);
        return longest;
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

    /// <summary>The input rows of an invoke: the index of the first one, their number, and the tokens of the longest prompt.</summary>
    private readonly record struct InvokeRows(int Offset, int Count, int SequenceLength)
    {
        public int End => Offset + Count;
    }

    /// <summary>The options of an invoke that changes those of the trace.</summary>
    /// <param name="ofTrace">Those of the trace.</param>
    /// <param name="latest">Those of the invoke before, whose changes are often the same ones.</param>
    private ResolvedGenerationOptions ResolveForInvoke(Generation overrides, ResolvedGenerationOptions ofTrace,
        ResolvedGenerationOptions latest)
    {
        Trace.Job.Limits.BetweenParts();
        ResolvedGenerationOptions options =
            ResolvedGenerationOptions.Resolve(_model.Defaults, Trace.Statement.Trace.Generation, overrides);
        options.OnPart = Trace.Job.Limits.BetweenParts;
        if (latest != ofTrace) options.ShareSequencesOf(latest);
        options.ShareSequencesOf(ofTrace);
        return options;
    }

    /// <summary>Checks the memory of the options: those of an invoke are a copy of those of the trace, with what it changes.</summary>
    /// <exception cref="NdifException">OUT_OF_MEMORY.</exception>
    private void RequireMemoryOfOptions(Protocol.Messages.Trace node)
    {
        const double BytesOfByte = 32; // a token id of one byte becomes a long, in a list and in a set
        int copies = node.Invokes.Count(invoke => invoke.Generation is not null);
        double bytes = (node.Generation?.CalculateSize() ?? 0) * (copies + 1.0)
            + node.Invokes.Sum(invoke => (double)(invoke.Generation?.CalculateSize() ?? 0));
        Trace.Job.Limits.RequireMemory("The options of the generation", BytesOfByte * bytes, 0);
    }
}
