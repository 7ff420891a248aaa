using System.Runtime.CompilerServices;
using Ndif.Protocol;

namespace Ndif.Activations;

/// <summary>
/// Divides a dataset into batches. They depend on the dataset and the options alone, so that a collection that is resumed has the batches
/// of one that was not interrupted.
/// <code>
/// dataset  | window of LookaheadTexts                | window ...
/// sorted   | a bb bb ccc | dddd dddd | eeeeee eeeeee |          by length, and by number among texts of one length
///            batch 0       batch 1     batch 2                  each of at most BatchTokens, padding included
/// </code>
/// </summary>
internal sealed class BatchPlanner(TransformersModel model, TextDataset dataset, CollectOptions options)
{
    /// <summary>A window ends early after so many tokens, which bounds its memory.</summary>
    private const int MaxWindowTokens = 4 << 20;

    private readonly int _maxTokens =
        options.MaxTokens ?? (model.Description.ContextLength is > 0 and var context ? (int)context : int.MaxValue);
    private readonly int _firstPosition = options.SkipFirstToken ? 1 : 0;
    private readonly int _vocabulary = (int)model.Description.Vocabulary;

    /// <summary>The place after the last batch, with the counts of all texts; null before the end.</summary>
    public CollectCursor? End { get; private set; }

    /// <summary>The batches from a place on.</summary>
    /// <exception cref="NdifException">BAD_INPUT: a record cannot be read, or the options refuse it. BAD_TOKENIZER.</exception>
    public async IAsyncEnumerable<PromptBatch> PlanAsync(
        CollectCursor from, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        CollectCursor at = from;
        var window = new Window(from.Window, from.Counts);
        await foreach (DatasetRecord record in dataset.ReadAsync(from.Window, cancellationToken))
        {
            if (window.RecordCount == options.LookaheadTexts || window.TokenCount >= MaxWindowTokens)
            {
                foreach (PromptBatch batch in Divide(window, at)) yield return At(batch);
                at = new CollectCursor(window.End, 0, at.Rows, window.Counts);
                window = new Window(window.End, window.Counts);
                if (at.Rows == options.MaxRows) break;
            }
            Add(record, window);
        }
        foreach (PromptBatch batch in Divide(window, at)) yield return At(batch);
        End = new CollectCursor(window.End, 0, at.Rows, window.Counts);

        PromptBatch At(PromptBatch batch)
        {
            at = batch.Next;
            return batch;
        }
    }

    /// <summary>Texts that are sorted together.</summary>
    private sealed class Window(DatasetPosition start, CollectCounts counts)
    {
        public DatasetPosition Start { get; } = start;

        public DatasetPosition End { get; set; } = start;

        /// <summary>The counts up to the end of the window.</summary>
        public CollectCounts Counts { get; set; } = counts;

        public List<TokenizedText> Texts { get; } = [];

        public int RecordCount { get; set; }

        public long TokenCount { get; set; }
    }

    private void Add(DatasetRecord record, Window window)
    {
        long text = window.Counts.Texts;
        window.End = record.Next;
        window.RecordCount++;
        window.Counts = window.Counts with { Texts = text + 1, Invalid = window.Counts.Invalid + (record.IsInvalid ? 1 : 0) };
        if (record.IsInvalid && options.InvalidTexts is not InvalidTexts.Replace)
        {
            if (options.InvalidTexts is InvalidTexts.Refuse)
                throw Refused(text, "is not valid UTF-8", $"{nameof(CollectOptions.InvalidTexts)} can replace or skip such texts.");
            window.Counts = window.Counts with { Skipped = window.Counts.Skipped + 1 };
            return;
        }
        int[] tokens = Tokenize(record, text);
        if (tokens.Length > _maxTokens)
        {
            switch (options.LongTexts)
            {
                case LongTexts.Refuse:
                    throw Refused(text, $"has {tokens.Length} tokens, and at most {_maxTokens} are possible",
                        $"{nameof(CollectOptions.LongTexts)} can truncate or skip such texts.");
                case LongTexts.Skip:
                    window.Counts = window.Counts with { Skipped = window.Counts.Skipped + 1 };
                    return;
                default:
                    window.Counts = window.Counts with { Truncated = window.Counts.Truncated + 1 };
                    tokens = tokens[.._maxTokens];
                    break;
            }
        }
        if (tokens.Length <= _firstPosition)
        {
            window.Counts = window.Counts with { Empty = window.Counts.Empty + 1 };
            return;
        }
        window.Texts.Add(new TokenizedText(text, tokens));
        window.TokenCount += tokens.Length;
    }

    private int[] Tokenize(DatasetRecord record, long text)
    {
        if (record.Tokens is { } tokens)
            return tokens.FirstOrDefault(id => id < 0 || id >= _vocabulary) is not 0 and var unknown
                ? throw Refused(text, $"has the token id {unknown}, and the vocabulary has {_vocabulary} tokens", "") : tokens;
        // a text of nothing but special tokens has no activations of its own
        return record.Text.Length == 0 ? [] : [.. model.Tokenizer.Encode(record.Text, options.AddSpecialTokens)];
    }

    /// <summary>The batches of a window that come after a place in it.</summary>
    private IEnumerable<PromptBatch> Divide(Window window, CollectCursor at)
    {
        List<TokenizedText> sorted = [.. window.Texts.OrderBy(text => text.Tokens.Length)]; // stable
        List<Range> batches = [];
        for (int start = 0, end = 0; start < sorted.Count; start = end)
        {
            while (end < sorted.Count && (end == start || (end + 1L - start) * sorted[end].Tokens.Length <= options.BatchTokens)) end++;
            batches.Add(start..end);
        }
        double before = dataset.FractionBefore(window.Start), size = dataset.FractionBefore(window.End) - before;
        for (int batch = at.Batch; batch < batches.Count; batch++)
        {
            List<TokenizedText> texts = sorted[batches[batch]];
            long rows = Math.Min(
                texts.Sum(text => (long)text.Tokens.Length - _firstPosition), (options.MaxRows ?? long.MaxValue) - at.Rows);
            if (rows == 0) yield break;
            at = at with { Batch = batch + 1, Rows = at.Rows + rows };
            double fraction = before + size * (batch + 1) / batches.Count;
            yield return new PromptBatch(texts, _firstPosition, (int)rows, at, options.MaxRows is { } limit
                ? Math.Max(fraction, (double)at.Rows / limit) : fraction);
        }
    }

    private static Exception Refused(long text, string problem, string hint) =>
        Errors.CreateException(ErrorCode.BadInput, $"The text {text} of the dataset {problem}.", hint);
}
