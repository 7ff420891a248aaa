using Ndif.Engine.Compiling;
using Ndif.Engine.Interleaving;
using Ndif.Engine.Running;
using Ndif.Engine.Subjects;
using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Batching;

/// <summary>One row of a batch: its tokens, and which of them are padding that the user brought.</summary>
internal sealed record TokenRow(long[] Ids, long[]? Mask);

/// <summary>From what an invoke brings to rows of tokens.</summary>
internal static class TokenRows
{
    /// <returns>The rows of an invoke; an invoke without an input has none.</returns>
    /// <exception cref="NdifException">BAD_INPUT: no tokens, an id outside of the vocabulary, too many tokens for the model.</exception>
    public static List<TokenRow> Of(InvokeInput invoke, LanguageSubject subject, Slots slots, uint newTokens)
    {
        List<TokenRow> rows = [];
        if (invoke.Input is null) return rows;
        foreach (string prompt in invoke.Input.Prompts) rows.Add(new TokenRow(subject.Encode(prompt), null));
        foreach (Protocol.TokenRow row in invoke.Input.Tokens) rows.Add(new TokenRow([.. row.Ids], null));
        if (invoke.Ids is not null) AddValue(rows, invoke.Ids.Evaluate(slots), invoke.Mask?.Evaluate(slots), subject);
        if (rows.Count == 0) throw Bad("An invoke has no input.", "Pass a prompt.");
        foreach (TokenRow row in rows) Check(row, subject, newTokens);
        return rows;
    }

    /// <summary>What the program has at hand: a text, a tensor of ids, the ids of one row, or a list of texts or rows.</summary>
    private static void AddValue(List<TokenRow> rows, object? value, object? mask, LanguageSubject subject)
    {
        switch (value)
        {
            case string text:
                rows.Add(new TokenRow(subject.Encode(text), null));
                break;
            case IReadOnlyList<object?> { Count: > 0 } ids when ids.All(id => id is long):
                rows.Add(new TokenRow([.. ids.Select(id => (long)id!)], null));
                break;
            case IReadOnlyList<object?> items when mask is null:
                foreach (object? item in items) AddValue(rows, item, null, subject);
                break;
            default:
                AddTensor(rows, value, mask);
                break;
        }
    }

    private static void AddTensor(List<TokenRow> rows, object? ids, object? mask)
    {
        if (ids is not torch.Tensor { ndim: 1 or 2 } tensor || !torch.is_integral(tensor.dtype))
            throw Bad("The input must be a text or token ids [rows, tokens].", "Pass integers.");
        TensorData data = tensor.ToData().To(DType.Int64);
        long width = data.Shape[^1], count = data.Shape.Length == 1 ? 1 : data.Shape[0];
        ReadOnlySpan<long> all = data.Span<long>();
        TensorData? masks = null;
        if (mask is not null)
        {
            masks = mask is torch.Tensor m && m.shape.SequenceEqual(tensor.shape) ? m.ToData().To(DType.Int64)
                : throw Bad("The attention mask must have the shape of the token ids.", "Pass one entry for each token: 0 for padding.");
        }
        for (int i = 0; i < count; i++)
        {
            int from = (int)(i * width);
            rows.Add(new TokenRow(all.Slice(from, (int)width).ToArray(), masks?.Span<long>().Slice(from, (int)width).ToArray()));
        }
    }

    private static void Check(TokenRow row, LanguageSubject subject, uint newTokens)
    {
        if (row.Ids.Length == 0) throw Bad("Input produced zero tokens after tokenization.", "Pass a prompt that is not empty, or at least one token id.");
        foreach (long id in row.Ids)
        {
            if (id < 0 || id >= subject.Description.Vocabulary)
                throw Bad($"The token id {id} is not in the vocabulary of {subject.Description.Vocabulary} tokens.", "Use the model's own tokenizer.");
        }
        uint context = subject.Description.ContextLength;
        if (context > 0 && row.Ids.Length + Math.Max(0, (long)newTokens - 1) > context)
            throw Bad($"A row has {row.Ids.Length} tokens{(newTokens > 0 ? $" and asks for {newTokens} new ones" : "")}; the model's context is {context} tokens.", "Shorten the prompt or ask for fewer tokens.");
        if (row.Mask is { } mask && (mask.Any(m => m is not (0 or 1)) || mask.All(m => m == 0)))
            throw Bad("An attention mask holds 1 for a token and 0 for padding, and at least one 1 in each row.", "");
    }

    private static Exception Bad(string message, string hint) => Errors.Throwable(ErrorCode.BadInput, message, hint);
}
