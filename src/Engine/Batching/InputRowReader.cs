using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>Converts the input of an invoke to rows of token ids.</summary>
internal static class InputRowReader
{
    /// <returns>The rows of the invoke; none for an invoke without an input.</returns>
    /// <exception cref="NdifException">
    /// BAD_INPUT: no tokens, an id outside of the vocabulary, or too many tokens for the model.
    /// </exception>
    public static List<InputRow> ReadRows(InvokeInput invoke, HookedLanguageModel model, ValueSlots slots, uint maxNewTokens)
    {
        List<InputRow> rows = [];
        if (invoke.Input is null) return rows;
        foreach (string prompt in invoke.Input.Prompts) rows.Add(new InputRow(model.Encode(prompt), null));
        foreach (Protocol.TokenRow row in invoke.Input.Tokens) rows.Add(new InputRow([.. row.Ids], null));
        if (invoke.Ids is not null) AddValue(rows, invoke.Ids.Evaluate(slots), invoke.Mask?.Evaluate(slots), model);
        if (rows.Count == 0) throw InvalidInput("An invoke has no input.", "Pass a prompt.");
        foreach (InputRow row in rows) ValidateRow(row, model, maxNewTokens);
        return rows;
    }

    /// <summary>
    /// Adds the rows of a value that the program computes: a text, a tensor of ids, the ids of one row, or a list of texts or rows.
    /// </summary>
    private static void AddValue(List<InputRow> rows, object? value, object? mask, HookedLanguageModel model)
    {
        switch (value)
        {
            case string text:
                rows.Add(new InputRow(model.Encode(text), null));
                break;
            case IReadOnlyList<object?> { Count: > 0 } ids when ids.All(id => id is long):
                rows.Add(new InputRow([.. ids.Select(id => (long)id!)], null));
                break;
            case IReadOnlyList<object?> items when mask is null:
                foreach (object? item in items) AddValue(rows, item, null, model);
                break;
            default:
                AddTensor(rows, value, mask);
                break;
        }
    }

    private static void AddTensor(List<InputRow> rows, object? ids, object? mask)
    {
        if (ids is not torch.Tensor { ndim: 1 or 2 } tensor || !torch.is_integral(tensor.dtype))
            throw InvalidInput("The input must be a text or token ids [batch, seq].", "Pass integers.");
        TensorData data = tensor.ToData().To(DType.Int64);
        long seq = data.Shape[^1], count = data.Shape.Length == 1 ? 1 : data.Shape[0];
        ReadOnlySpan<long> all = data.Span<long>();
        TensorData? masks = null;
        if (mask is not null)
        {
            masks = mask is torch.Tensor m && m.shape.SequenceEqual(tensor.shape) ? m.ToData().To(DType.Int64)
                : throw InvalidInput("The attention mask must have the shape of the token ids.",
                    "Pass one entry for each token: 0 for padding.");
        }
        for (int i = 0; i < count; i++)
        {
            int start = (int)(i * seq);
            rows.Add(new InputRow(all.Slice(start, (int)seq).ToArray(), masks?.Span<long>().Slice(start, (int)seq).ToArray()));
        }
    }

    private static void ValidateRow(InputRow row, HookedLanguageModel model, uint maxNewTokens)
    {
        if (row.InputIds.Length == 0)
            throw InvalidInput("Input produced zero tokens after tokenization.",
                "Pass a prompt that is not empty, or at least one token id.");
        foreach (long id in row.InputIds)
        {
            if (id < 0 || id >= model.Description.Vocabulary)
                throw InvalidInput($"The token id {id} is not in the vocabulary of {model.Description.Vocabulary} tokens.",
                    "Use the model's own tokenizer.");
        }
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

    private static Exception InvalidInput(string message, string hint) => Errors.CreateException(ErrorCode.BadInput, message, hint);
}
