using Ndif.Engine.Batching;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Interleaving;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Reuse;

/// <summary>
/// Takes what earlier passes have computed for the same tokens out of a pass over prompts (<see cref="PrefixCache"/>), and keeps what this
/// pass computes.
/// <code>
///                 column  0 1 2 3 4 5
///   layer 0               . . . . . .     . known from an earlier pass
///   layer 1               . . . . . .
///   layer 2 (edit of 3)   . . . x x x     x computed, with the keys and values of the known tokens
///   layer 3               . . . x x x
/// </code>
/// 1. A trace reads and edits the model at the hook points of its program. A layer need not run if none is at its input or inside of it
///    and nothing before it may be edited: at its output, the program sees the output of the earlier pass.
/// 2. In the layers that run, the first columns need not be computed if they are known in all of them, the program edits none of their
///    tokens, and sees none but in the outputs of layers (<see cref="UsedTokens"/>). Values of the pass then lack these columns, and have
///    them again where a program sees them: known ones in the outputs of layers, and zeros elsewhere.
/// 3. A pass reuses as many layers and columns as all of its traces allow and all of its prompts have.
/// 4. The tokens of a layer that runs are kept as long as no invoke of the trace has edited anything; after that, those before the first
///    edited one.
/// </summary>
/// <remarks>
/// A pass that builds an autograd graph, shows padding, has a mask of the user, calls the client, or has very many rows is computed
/// whole.
/// </remarks>
internal sealed class PrefixReuse : IDisposable
{
    /// <summary>The rows of a pass above which to look up, and to keep, each of them would keep others waiting.</summary>
    private const int MaxRows = 1024;

    private readonly HookedLanguageModel _model;
    private readonly PrefixCache _cache;
    private readonly Row[] _rows;
    private readonly int _length;
    private torch.Tensor? _lastWhole; // of the last value that a program saw: [batch, seq, ...]
    private nint _lastColumns;        // the address of the columns in it that the pass continues with

    private PrefixReuse(HookedLanguageModel model, PrefixCache cache, IReadOnlyList<TraceRows> traces, int length)
    {
        (_model, _cache, _length) = (model, cache, length);
        _rows = [.. traces.SelectMany(CreateRows)];
        LayerCount = _rows.Select(row => row.KnownLayers(model.Layers.Count))
            .Concat(traces.Select(trace => FirstHookedLayer(model, trace.Trace))).Min();
        if (!model.Root.HasLengthDependentRope && traces.All(trace => trace.RequiredLogits.AreOfLastTokens))
            ColumnCount = _rows.Min(row => row.Padding + Math.Min(row.FirstUsedToken,
                Enumerable.Range(LayerCount, model.Layers.Count - LayerCount).Select(row.KnownTokens).Append(row.Length - 1).Min()));
        Cache = CreateCache();
    }

    /// <summary>The number of first layers that do not run.</summary>
    public int LayerCount { get; }

    /// <summary>The number of first columns of the batch that no layer computes.</summary>
    public int ColumnCount { get; }

    /// <summary>The keys and values of the known tokens, to which the pass adds its own.</summary>
    public KeyValueCache Cache { get; }

    /// <summary>Prepares a pass over prompts; null if it is computed whole.</summary>
    /// <param name="length">The number of columns, padding included.</param>
    public static PrefixReuse? TryCreate(HookedLanguageModel model, PrefixCache? cache, IReadOnlyList<TraceRows> traces, int length)
    {
        if (cache is not { MaxBytes: > 0 } || model.Root.Task is not ModelTask.CausalLm || model.Root.HasStatesBesideKeys
            || traces.Sum(trace => trace.RowCount) > MaxRows || !traces.All(trace => CanReuse(trace, cache))) return null;
        cache.BeginPass();
        try
        {
            return new PrefixReuse(model, cache, traces, length);
        }
        catch
        {
            cache.EndPass();
            throw;
        }
    }

    /// <summary>The number of tokens of a trace whose keys and values are those of an earlier pass.</summary>
    public int TokenCountOf(TraceRows trace) => _rows.Where(row => row.Trace == trace).Sum(row => row.SkippedTokens(ColumnCount));

    /// <summary>The output of a layer that does not run; null if it runs.</summary>
    /// <param name="isObserved">Whether a program has a hook point at the output.</param>
    public object?[]? TryGetOutput(int module, Arguments arguments, bool isObserved)
    {
        if (_model.LayerOf(module) is not { } layer || layer >= LayerCount || _model.Layers[layer] != module) return null;
        torch.Tensor hidden = arguments.Tensor(0, "hidden_states"); // [batch, seq, hidden]
        if (!isObserved && layer < LayerCount - 1) return [hidden.alias()]; // only layers that do not run either receive it
        torch.Tensor output = torch.zeros_like(hidden); // [batch, seq, hidden]
        foreach (Row row in _rows)
        {
            int skipped = row.SkippedTokens(ColumnCount);
            using torch.Tensor tokens = row.TokensOf(output, ColumnCount), known = row.Source[layer]!.Output.narrow(0, 0, row.Length);
            using torch.Tensor rest = known.narrow(0, skipped, row.Length - skipped); // [seq, hidden]
            tokens.copy_(rest);
        }
        return [output];
    }

    /// <summary>Keeps the tokens of a layer that has run, as far as they are what the prompts give without edits.</summary>
    public void AddOutput(int module, object? output)
    {
        if (_model.LayerOf(module) is not { } layer || layer < LayerCount || _model.Layers[layer] != module) return;
        if (output is not object?[] { Length: 1 } tuple || tuple[0] is not torch.Tensor hidden) return; // [batch, seq, hidden]
        foreach (Row row in _rows)
        {
            bool isEdited = row.Trace.Trace.Invokes.Any(invoke => invoke.HasEditedCache);
            int count = isEdited ? Math.Min(row.Length, row.FirstUsedToken) : row.Length;
            if (count <= row.Own.TokenCount(layer) || Cache.TryGet(row.Index, layer) is not var (keys, values)) continue;
            using var scope = torch.NewDisposeScope();
            int skipped = row.SkippedTokens(ColumnCount), firstSlot = Math.Max(0, row.Padding - ColumnCount);
            torch.Tensor computed = row.TokensOf(hidden, ColumnCount); // [seq, hidden]
            torch.Tensor whole = skipped == 0 ? computed
                : torch.cat([row.Source[layer]!.Output.narrow(0, 0, skipped), computed]); // [all tokens, hidden]
            _cache.Add(row.Own, layer,
                new CachedTokens(Copy(whole, 0, 0, count), Copy(keys, 1, firstSlot, count), Copy(values, 1, firstSlot, count)));
        }

        static torch.Tensor Copy(torch.Tensor tensor, int dimension, long start, long count) =>
            tensor.narrow(dimension, start, count).clone().DetachFromDisposeScope();
    }

    /// <summary>A value that a program sees at a hook point, with the columns that are not computed.</summary>
    public object? AddColumns(HookPoint point, object? value) =>
        LacksColumns(point) ? MapFirstTensor(value, tensor => AddColumns(point, tensor)) : value;

    /// <summary>A value that a program has seen, and may have replaced, without the columns that are not computed.</summary>
    public object? RemoveColumns(HookPoint point, object? value) => LacksColumns(point) ? MapFirstTensor(value, RemoveColumns) : value;

    private static object? MapFirstTensor(object? value, Func<torch.Tensor, torch.Tensor> map) => value switch
    {
        torch.Tensor tensor => map(tensor),
        object?[] { Length: > 0 } tuple when tuple[0] is torch.Tensor tensor => (object?[])[map(tensor), .. tuple[1..]],
        Arguments { First: torch.Tensor tensor } arguments => arguments.WithFirst(map(tensor)),
        _ => value,
    };

    private bool LacksColumns(HookPoint point) =>
        ColumnCount > 0 && _model.HasTokenDimension(point, point.IsAfter ? SiteKind.Output : SiteKind.Input);

    /// <summary>Ends the pass.</summary>
    public void Dispose()
    {
        _lastWhole?.Dispose();
        _cache.EndPass();
    }

    private torch.Tensor AddColumns(HookPoint point, torch.Tensor tensor)
    {
        // [batch, seq, ...]
        if (tensor.ndim < 2 || tensor.size(1) != _length - ColumnCount) return tensor;
        // the input of a layer is the memory of the output before it, so that an edit of one is an edit of the other
        if (_lastWhole is { } last && _lastColumns == NativeTensor.DataPointer(tensor.Handle)) return last.alias();
        torch.Tensor whole = torch.zeros([tensor.size(0), _length, .. tensor.shape[2..]], tensor.dtype, tensor.device);
        if (_model.IsLayerOutput(point))
        {
            int layer = _model.LayerOf(point.Module)!.Value;
            foreach (Row row in _rows.Where(row => row.SkippedTokens(ColumnCount) > 0))
            {
                int skipped = row.SkippedTokens(ColumnCount);
                using torch.Tensor tokens = row.TokensOf(whole, 0), first = tokens.narrow(0, 0, skipped);
                using torch.Tensor known = row.Source[layer]!.Output.narrow(0, 0, skipped); // [skipped, hidden]
                first.copy_(known);
            }
        }
        using torch.Tensor columns = whole.narrow(1, ColumnCount, _length - ColumnCount);
        columns.copy_(tensor);
        return whole;
    }

    private torch.Tensor RemoveColumns(torch.Tensor whole)
    {
        if (whole.ndim < 2 || whole.size(1) != _length) return whole;
        torch.Tensor columns = whole.narrow(1, ColumnCount, _length - ColumnCount); // [batch, seq, ...]
        _lastWhole?.Dispose();
        (_lastWhole, _lastColumns) = (whole.alias().DetachFromDisposeScope(), NativeTensor.DataPointer(columns.Handle));
        return columns;
    }

    private KeyValueCache CreateCache()
    {
        // a pass whose rows do not grow reserves memory for its own tokens
        var cache = new KeyValueCache(_model.Layers.Count)
        {
            InitialCapacity = _rows.Any(row => row.Trace.IsGenerating) ? CachedRow.InitialCapacity : 1,
        };
        if (LayerCount == 0 && ColumnCount == 0) return cache;
        foreach (Row row in _rows)
        {
            int skipped = row.SkippedTokens(ColumnCount);
            CachedRow cached = cache.AddRow(skipped);
            for (int layer = row.Trace.IsGenerating ? 0 : LayerCount; layer < _model.Layers.Count; layer++)
            {
                int count = layer < LayerCount ? row.Length : skipped;
                if (count == 0) continue;
                using torch.Tensor keys = row.Source[layer]!.Keys.narrow(1, 0, count);     // [kvHeads, count, headDim]
                using torch.Tensor values = row.Source[layer]!.Values.narrow(1, 0, count); // [kvHeads, count, headDim]
                cached.Fill(layer, Math.Max(0, row.Padding - ColumnCount), skipped + _length - ColumnCount, keys, values);
            }
        }
        cache.SetLength(ColumnCount);
        return cache;
    }

    private IEnumerable<Row> CreateRows(TraceRows trace)
    {
        IReadOnlyList<long> starts = UsedTokens.FindStarts(_model, trace.Trace.Job.Plan, trace.Trace.Statement);
        for (int i = 0; i < trace.RowCount; i++)
        {
            long[] ids = trace.Rows[i].InputIds;
            CachedPrompt? prefix = _model.Root.HasLengthDependentRope ? null : _cache.FindLongestPrefix(trace.Trace.Job.Owner, ids);
            CachedPrompt own = _cache.Touch(trace.Trace.Job.Owner, ids, _model.Layers.Count);
            CachedPrompt source = own[0] is not null || prefix is null ? own : prefix;
            yield return new Row(trace, (int)trace.FirstRow + i, own, source, source.CommonPrefixLength(ids), _length - ids.Length,
                (int)starts.Select(start => start < 0 ? Math.Max(0, ids.Length + start) : start).Append(ids.Length).Min());
        }
    }

    private static bool CanReuse(TraceRows trace, PrefixCache cache) =>
        (cache.IsShared || trace.Trace.Job.Plan.HasSeveralTraces) && trace.RowCount > 0 && !trace.Trace.RequiresGrad
        && trace.Rows.All(row => row.AttentionMask is null) && !trace.HasVisiblePadding
        && !trace.Trace.Job.Plan.HasLocalCalls; // while its pass is suspended, no prompt could be dropped

    /// <summary>The first layer that has to run for the values that a trace reads, and after those that it may edit.</summary>
    private static int FirstHookedLayer(HookedLanguageModel model, TraceRun trace) =>
        trace.Job.Plan.HookPointsOf(trace.Statement).Select(use => model.FirstLayerThatRuns(use.Point, use.MayEdit))
            .Append(model.Layers.Count).Min();

    /// <summary>A row of the pass.</summary>
    /// <param name="Index">Its index in the batch.</param>
    /// <param name="Own">What is known of its prompt.</param>
    /// <param name="Source">What is known of a prompt that begins alike.</param>
    /// <param name="Match">The number of tokens that it shares with the source.</param>
    /// <param name="Padding">The columns before its first token.</param>
    /// <param name="FirstUsedToken">The first token that its trace edits, or sees where it is not known.</param>
    private sealed record Row(TraceRows Trace, int Index, CachedPrompt Own, CachedPrompt Source, int Match, int Padding, int FirstUsedToken)
    {
        public int Length => Own.Ids.Length;

        /// <summary>The number of first tokens that are known in a layer.</summary>
        public int KnownTokens(int layer) => Math.Min(Match, Source.TokenCount(layer));

        /// <summary>The number of first layers in which all tokens are known.</summary>
        public int KnownLayers(int layers)
        {
            int known = 0;
            while (known < layers && KnownTokens(known) == Length) known++;
            return known;
        }

        /// <summary>The number of tokens in the first columns.</summary>
        public int SkippedTokens(int columns) => Math.Max(0, columns - Padding);

        /// <summary>The tokens of the row without padding, in a value that lacks the first columns: [seq, ...].</summary>
        /// <param name="value">[batch, seq with padding, ...]</param>
        public torch.Tensor TokensOf(torch.Tensor value, int columns)
        {
            using torch.Tensor row = value.select(0, Index); // [seq with padding, ...]
            int tokens = Length - SkippedTokens(columns);
            return row.narrow(0, row.size(0) - tokens, tokens);
        }
    }
}
