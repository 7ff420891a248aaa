using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>Converts the inputs of the invokes of a trace to rows of token ids, whose memory counts for their job.</summary>
internal sealed class InputRowReader(JobRun job, HookedLanguageModel model)
{
    private const double RowBytes = 256; // the objects of a row

    /// <summary>The characters above which a text is tokenized on another thread: a megabyte of text takes up to a second.</summary>
    private const int MaxTextOfTurn = 16 << 10;

    private double _bytes;

    /// <returns>The rows of the invoke; none for an invoke without an input.</returns>
    /// <exception cref="NdifException">
    /// BAD_INPUT: no tokens, an id outside of the vocabulary, or too many tokens for the model. OUT_OF_MEMORY: the rows of all invokes
    /// exceed the memory of the job.
    /// </exception>
    /// <exception cref="OperationCanceledException">Between two texts: the job was cancelled or preempted.</exception>
    public List<InputRow> ReadRows(InvokeInput invoke, uint maxNewTokens)
    {
        ValueSlots slots = job.Slots;
        List<InputRow> rows = [];
        if (invoke.Input is null) return rows;
        for (int i = 0; i < invoke.Input.Prompts.Count; i++)
        {
            rows.Add(Encode(invoke.Input.Prompts[i], i < invoke.Input.Pairs.Count ? invoke.Input.Pairs[i] : null));
        }
        foreach (Protocol.TokenRow row in invoke.Input.Tokens) rows.Add(new InputRow([.. row.Ids], null));
        if (invoke.Ids is not null)
            AddValue(rows, invoke.Ids.Evaluate(slots), invoke.Mask?.Evaluate(slots), invoke.TokenTypes?.Evaluate(slots));
        if (rows.Count == 0) throw InvalidInput("An invoke has no input.", "Pass a prompt.");
        if (model.Root is Seq2SeqLM { DecoderStartTokenId: var start })
            rows = WithDecoder(rows, model.Defaults.DecoderStartTokenId ?? start, invoke, slots);
        else if (invoke.DecoderIds is not null)
            throw InvalidInput($"{model.Description.Architecture} has no decoder beside an encoder.", "Pass no tokens for a decoder.");
        foreach (InputRow row in rows)
        {
            ValidateRow(row, maxNewTokens);
            if (row.Encoder is { } encoder) ValidateRow(encoder, 0);
        }
        return rows;
    }

    /// <summary>Tokenizes a text, or a pair of texts; other jobs run meanwhile.</summary>
    private InputRow Encode(string text, string? second = null)
    {
        job.Limits.BetweenParts();
        if (text.Length + (second?.Length ?? 0) <= MaxTextOfTurn) return model.Encode(text, second);
        Task<InputRow> encoding = Task.Run(() => model.Encode(text, second), CancellationToken.None);
        job.WaitWhileOthersRun(encoding, canLeave: true);
        return encoding.GetAwaiter().GetResult();
    }

    /// <summary>The rows of a decoder: the tokens that the invoke gives it, or the token that a decoder starts with.</summary>
    private List<InputRow> WithDecoder(List<InputRow> encoderRows, long start, InvokeInput invoke, ValueSlots slots)
    {
        List<InputRow> rows = [];
        if (invoke.DecoderIds?.Evaluate(slots) is { } ids) AddTensor(rows, ids, null, null);
        else rows.AddRange(encoderRows.Select(_ => new InputRow([start], null)));
        if (rows.Count != encoderRows.Count)
            throw InvalidInput($"The decoder has tokens for {rows.Count} rows, and the encoder for {encoderRows.Count}.",
                "Pass a row for each prompt.");
        return [.. rows.Zip(encoderRows, (row, encoder) => row with { Encoder = encoder })];
    }

    /// <summary>
    /// Adds the rows of a value that the program computes: a text, a tensor of ids, the ids of one row, or a list of texts or rows.
    /// </summary>
    private void AddValue(List<InputRow> rows, object? value, object? mask, object? types)
    {
        switch (value)
        {
            case string text:
                InputRow row = Encode(text);
                RequireMemory(1, row.InputIds.Length, arrays: 1);
                rows.Add(row);
                break;
            case IReadOnlyList<object?> { Count: > 0 } ids when ids.All(id => id is long):
                RequireMemory(1, ids.Count, arrays: 1);
                rows.Add(new InputRow([.. ids.Select(id => (long)id!)], null));
                break;
            case IReadOnlyList<object?> items when mask is null && types is null:
                foreach (object? item in items) AddValue(rows, item, null, null);
                break;
            default:
                AddTensor(rows, value, mask, types);
                break;
        }
    }

    private void AddTensor(List<InputRow> rows, object? ids, object? mask, object? types)
    {
        if (ids is not torch.Tensor { ndim: 1 or 2 } tensor || !torch.is_integral(tensor.dtype))
            throw InvalidInput("The input must be a text or token ids [batch, seq].", "Pass integers.");
        if (tensor.shape[^1] == 0) throw NoTokens(); // before there is a row for each of any number of them
        RequireMemory(tensor.ndim == 1 ? 1 : tensor.shape[0], tensor.numel(), 1 + (mask is null ? 0 : 1) + (types is null ? 0 : 1));
        int seq = (int)tensor.shape[^1], count = (int)(tensor.ndim == 1 ? 1 : tensor.shape[0]);
        TensorData all = tensor.ToData().To(DType.Int64);
        TensorData? masks = ReadLike(tensor, mask, "attention mask", "0 for padding"),
            allTypes = ReadLike(tensor, types, "types of the tokens", "0 for the first text of a pair, 1 for the second");
        for (int i = 0; i < count; i++) rows.Add(new InputRow(Row(all, i)!, Row(masks, i), Row(allTypes, i)));

        long[]? Row(TensorData? data, int row) => data?.Span<long>().Slice(row * seq, seq).ToArray();
    }

    /// <summary>
    /// Checks the memory of rows before they are made, with those that there are: ids that the program computes may be expanded to more
    /// tokens than memory.
    /// </summary>
    /// <param name="arrays">The values of each token: its id, its mask, its type.</param>
    private void RequireMemory(double rows, double tokens, int arrays)
    {
        const int Copies = 4; // in its own type, as int64, as the whole number that it must be
        _bytes += rows * RowBytes + tokens * arrays * sizeof(long);
        job.Limits.RequireMemory("The input of the trace", _bytes, tokens * Copies * sizeof(long));
    }

    /// <summary>A value of the shape of the token ids; null if there is none.</summary>
    private static TensorData? ReadLike(torch.Tensor ids, object? value, string name, string meaning)
    {
        if (value is null) return null;
        string hint = $"Pass one entry for each token: {meaning}.";
        if (value is not torch.Tensor tensor || !tensor.shape.SequenceEqual(ids.shape))
            throw InvalidInput($"The {name} must have the shape of the token ids.", hint);
        using torch.Tensor whole = tensor.to(torch.ScalarType.Int64), difference = whole.to(torch.ScalarType.Float64) - tensor;
        if (difference.any().item<bool>()) throw InvalidInput($"The {name} must be whole numbers.", hint);
        return whole.ToData();
    }

    private void ValidateRow(InputRow row, uint maxNewTokens)
    {
        if (row.InputIds.Length == 0) throw NoTokens();
        foreach (long id in row.InputIds)
        {
            if (id < 0 || id >= model.Description.Vocabulary)
                throw InvalidInput($"The token id {id} is not in the vocabulary of {model.Description.Vocabulary} tokens.",
                    "Use the model's own tokenizer.");
        }
        if (row.TokenTypeIds is { } types && types.Any(type => type != 0 && (type < 0 || type >= model.Root.TokenTypeCount)))
            throw InvalidInput(model.Root.TokenTypeCount == 0 ? $"{model.Description.Architecture} has no types of tokens."
                : $"The type of a token is a number from 0 to {model.Root.TokenTypeCount - 1} here.", "");
        // a row may end before it has all tokens that it asks for, so only the prompt has to fit (TraceRows.CheckPositions)
        (uint context, bool hasTable) = (model.Description.ContextLength, model.Root.HasPositionTable);
        if (context > 0 && row.InputIds.Length + (hasTable ? 0 : Math.Max(0, (long)maxNewTokens - 1)) > context)
        {
            string more = maxNewTokens > 0 && !hasTable ? $" and asks for {maxNewTokens} new ones" : "";
            string tokens = $"A row has {row.InputIds.Length} tokens{more}; the model's context is {context} tokens";
            if (hasTable) throw InvalidInput($"{tokens}, and it has no position after them.", "Shorten the prompt.");
            model.WarnOfLongRow($"{tokens} (max_position_embeddings of `{model.Description.Id}`). It runs on, as in Hugging Face, but was "
                + "not made for such lengths.");
        }
        if (row.AttentionMask is { } mask && (mask.Any(m => m is not (0 or 1)) || mask.All(m => m == 0)))
            throw InvalidInput("An attention mask holds 1 for a token and 0 for padding, and at least one 1 in each row.", "");
    }

    private static Exception NoTokens() => InvalidInput("Input produced zero tokens after tokenization.",
        "Pass a prompt that is not empty, or at least one token id.");

    private static Exception InvalidInput(string message, string hint) => Errors.CreateException(ErrorCode.BadInput, message, hint);
}
