using System.Numerics.Tensors;
using Ndif.Engine.Compiling;
using Ndif.Engine.Generating;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>
/// One trace's rows in the batch: those of its invokes, in order, and if it generates each of them as many times as it has beams or
/// sequences to return, side by side.
/// </summary>
internal sealed class TokenPart
{
    private readonly LanguageSubject _subject;
    private readonly List<(Interpreter Invoke, int Offset, int Count, int Width)> _views = []; // in rows of the input
    private readonly List<IContinuation> _continuations = [];
    private readonly List<TokenTeller?> _tellers = [];
    private readonly int _copies = 1, _results = 1;
    private readonly long _pad;
    private float[] _scores = []; // of the last pass, [rows, vocabulary]

    /// <exception cref="NdifException">BAD_INPUT or BAD_ARGUMENT: an invoke's input, or the generation's options.</exception>
    public TokenPart(TraceRun trace, LanguageSubject subject, PassShape shape)
    {
        (Trace, _subject) = (trace, subject);
        Protocol.Trace node = trace.Statement.Trace;
        Generates = node.Mode is Mode.Generate;
        GenerationOptions? options = Generates ? GenerationOptions.Of(subject.Defaults, node.Generation) : null;
        if (options is not null) (_copies, _results, _pad) = (options.Copies, options.Results, options.Pad);

        ulong seed = Generates ? options!.Seed ?? trace.Job.NextSeed() : 0;
        List<List<TokenRow>> rows = [];
        for (int i = 0; i < node.Invokes.Count; i++)
        {
            Generation? asked = node.Invokes[i].Generation;
            GenerationOptions? own = asked is null || !Generates ? options : GenerationOptions.Of(subject.Defaults, node.Generation, asked);
            rows.Add(TokenRows.Of(trace.Statement.Invokes[i], subject, trace.Job.Slots, (uint)(own?.MaxNewTokens ?? 0)));
            // a trace's seed counts through its rows, an invoke's own through the invoke's
            if (own is not null) Continue(rows[i], own, asked is { HasSeed: true } ? asked.Seed : seed + (ulong)_continuations.Count, rows.Count(r => r.Count > 0) - 1);
            foreach (TokenRow row in rows[i]) Rows.AddRange(Enumerable.Repeat(row, _copies));
        }
        Width = Rows.Count == 0 ? 0 : Rows.Max(r => r.Ids.Length);
        for (int i = 0; i < rows.Count; i++)
        {
            InvokeInput invoke = trace.Statement.Invokes[i];
            int owner = invoke.Beside ?? i;
            if (invoke.Input is null && invoke.Beside is null) AddView(invoke.Region, 0, Rows.Count / _copies, Width, shape);
            else AddView(invoke.Region, rows.Take(owner).Sum(r => r.Count), rows[owner].Count, rows[owner].Max(r => r.Ids.Length), shape);
        }
        AddView(node.Region, 0, Rows.Count / _copies, Width, shape);
        trace.Result ??= invoke => Generates ? ResultIds(invoke) : null;
    }

    public TraceRun Trace { get; }

    public bool Generates { get; }

    public List<TokenRow> Rows { get; } = [];

    /// <summary>Tokens of its longest prompt.</summary>
    public int Width { get; }

    /// <summary>Where its rows begin in the batch.</summary>
    public long Start { get; private set; }

    /// <summary>The tokens of the next pass.</summary>
    public IEnumerable<long> Next => Generates ? _continuations.SelectMany(c => c.Next) : Rows.Select(_ => 0L);

    /// <summary>The rows of the batch from which its rows go on.</summary>
    public IEnumerable<int> Sources
    {
        get
        {
            int start = (int)Start;
            foreach (IContinuation continuation in _continuations)
            {
                foreach (int from in continuation.From) yield return start + from;
                start += continuation.Rows;
            }
        }
    }

    /// <summary>False if its program has no site in the model, so that how the prompts' pass is run is nobody's concern.</summary>
    public bool SeesTheModel => Trace.Statement.Trace.Gradients || Trace.Job.Plan.Points.Any(point => point.Module != _subject.Streamer);

    /// <summary>True if no row has anything more to come.</summary>
    public bool HasEnded => _continuations.All(c => c.HasEnded);

    public bool HasStopped => Trace.Job.HasFailed || (Trace.Invokes.All(i => i.IsDone) && Trace.Invokes.Any(i => i.Stopped));

    public void PlaceAt(long start, int width)
    {
        Start = start;
        foreach (var (invoke, offset, _, own) in _views) (invoke.View!.Start, invoke.View.Pad) = (start + offset * _copies, width - own);
    }

    /// <summary>Chooses the next token of each row.</summary>
    /// <param name="logits">[rows of the batch, tokens, vocabulary]</param>
    public void Choose(torch.Tensor logits)
    {
        using var scope = torch.NewDisposeScope();
        torch.Tensor last = logits.narrow(0, Start, Rows.Count).select(1, -1);      // [rows, vocabulary]
        int vocabulary = (int)last.size(1);
        // another device's scores stay there, unless somebody wants to see them
        bool isHere = last.device_type == DeviceType.CPU;
        long[] likeliest = isHere || _continuations.All(c => c.NeedsScores) ? [] : last.argmax(-1).cpu().data<long>().ToArray();
        if (isHere || _continuations.Any(c => c.NeedsScores))
        {
            if (_scores.Length < last.numel()) _scores = new float[last.numel()];
            TensorNumbers.CopyTo(last, _scores);
        }
        int row = 0;
        foreach (IContinuation continuation in _continuations)
        {
            Span<float> scores = _scores.Length == 0 ? [] : _scores.AsSpan(row * vocabulary, continuation.Rows * vocabulary);
            if (!continuation.NeedsScores) continuation.Next[0] = isHere ? TensorPrimitives.IndexOfMax(scores) : likeliest[row];
            else if (!continuation.HasEnded || continuation.Rows > 1) continuation.Choose(scores, vocabulary);
            row += continuation.Rows;
        }
        foreach (IContinuation ended in _continuations)
            if (ended.HasEnded) Array.Fill(ended.Next, _pad);
    }

    /// <summary>What became of the chosen tokens at the streamer's site.</summary>
    /// <param name="tokens">Of the whole batch.</param>
    public void Replace(ReadOnlySpan<long> tokens)
    {
        int row = (int)Start;
        foreach (IContinuation continuation in _continuations)
        {
            ReadOnlySpan<long> given = tokens.Slice(row, continuation.Rows);
            row += continuation.Rows;
            if (given.SequenceEqual(continuation.Next) || continuation.HasEnded) continue;
            if (continuation.Rows > 1)
                throw Errors.Throwable(ErrorCode.Unsupported, "The tokens of a beam search cannot be replaced: its scores are those of the tokens it chose.", "Generate with one beam.", GeneratorSites.Streamer);
            if (given[0] < 0 || given[0] >= _subject.Description.Vocabulary)
                throw Errors.Throwable(ErrorCode.BadInput, $"The token id {given[0]} is not in the vocabulary of {_subject.Description.Vocabulary} tokens.", module: GeneratorSites.Streamer);
            given.CopyTo(continuation.Next);
        }
    }

    /// <summary>Takes the chosen tokens, and tells of them.</summary>
    public void Take()
    {
        for (int i = 0; i < _continuations.Count; i++)
        {
            bool goesOn = !_continuations[i].HasEnded;
            _continuations[i].Take();
            if (goesOn) _tellers[i]?.Tell(_continuations[i].Next[0], _continuations[i].HasEnded);
        }
    }

    private void AddView(uint region, int offset, int count, int width, PassShape shape)
    {
        var invoke = new Interpreter(Trace.Job, region, new RowView(shape, offset * _copies, count * _copies, 0));
        _views.Add((invoke, offset, count, width));
        Trace.Add(invoke);
    }

    private void Continue(List<TokenRow> rows, GenerationOptions options, ulong seed, int invoke)
    {
        for (int row = 0; row < rows.Count * (options.Beams > 1 ? 1 : _copies); row++)
        {
            TokenRow input = rows[options.Beams > 1 ? row : row / _copies];
            long[] prompt = input.Mask is { } mask ? [.. input.Ids.Where((_, at) => mask[at] != 0)] : input.Ids;
            StopStrings? stops = options.Stop.Count == 0 ? null : new StopStrings(_subject.Tokenizer, options.Stop, prompt);
            var random = new RowRandom(seed + (ulong)row);
            _continuations.Add(options.Beams > 1 ? new Beams(options, prompt, random, stops) : new SingleRow(options, prompt, random, stops));
            _tellers.Add(!options.Stream ? null : new TokenTeller(Trace.Job,
                new NewToken { Trace = Trace.Statement.Id, Invoke = (uint)invoke, Row = (uint)row }, _subject.HasTokenizer ? _subject.Tokenizer : null, prompt));
        }
    }

    /// <summary>The prompt's tokens and the new ones, of an invoke's rows. [rows * sequences returned, prompt + new]</summary>
    private torch.Tensor ResultIds(Interpreter invoke)
    {
        (_, int offset, int count, int width) = _views.First(v => ReferenceEquals(v.Invoke, invoke));
        IReadOnlyList<long>[] all = [.. _continuations.SelectMany(c => c.Results)];
        int made = all.Length == 0 ? 0 : all.Max(r => r.Count), length = width + made;
        var ids = new long[count * _results * length];
        for (int i = 0; i < count * _results; i++)
        {
            long[] prompt = Rows[(offset + i / _results) * _copies].Ids;
            IReadOnlyList<long> added = all[offset * _results + i];
            Span<long> row = ids.AsSpan(i * length, length);
            prompt.CopyTo(row[(width - prompt.Length)..]);
            for (int at = 0; at < made; at++) row[width + at] = at < added.Count ? added[at] : _pad;
        }
        return torch.tensor(ids, [count * _results, length], dtype: torch.ScalarType.Int64, device: Trace.Job.Context.Device);
    }
}
