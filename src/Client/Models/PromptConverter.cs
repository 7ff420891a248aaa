using System.Collections;
using Ndif.Protocol;
using Ndif.Running;

namespace Ndif;

/// <summary>Writes the inputs that a model of Hugging Face accepts into a program.</summary>
internal static class PromptConverter
{
    private const string InputIds = "input_ids", AttentionMask = "attention_mask", TokenTypeIds = "token_type_ids",
        DecoderInputIds = "decoder_input_ids";

    private static readonly string[] _keys = [InputIds, AttentionMask, TokenTypeIds, DecoderInputIds];

    /// <summary>The input of a call that passes it as a prompt or by keywords; null if it has none.</summary>
    public static object? Combine(object? prompt, object? inputIds, object? attentionMask, object? tokenTypeIds = null,
        object? decoderInputIds = null)
    {
        if (prompt is not null && inputIds is not null)
            throw new ArgumentException("Pass a prompt or inputIds, not both.", nameof(inputIds));
        object? input = prompt ?? inputIds;
        if (attentionMask is null && tokenTypeIds is null && decoderInputIds is null) return input;
        if (input is null && (attentionMask ?? tokenTypeIds) is null)
            throw new ArgumentException("decoderInputIds goes with a prompt, which the encoder reads.", nameof(decoderInputIds));
        if (input is null || (input is string or IEnumerable<string> && (attentionMask ?? tokenTypeIds) is not null))
            throw new ArgumentException("An attentionMask goes with token ids: pass inputIds, not a text.", nameof(attentionMask));
        return new EncodedInput(input, attentionMask, tokenTypeIds, decoderInputIds);
    }

    /// <param name="tokenCountOfEmptyText">
    /// The tokens that an empty text becomes: some tokenizers add a token for the begin of the sequence.
    /// </param>
    public static void WriteTo(object prompt, Input destination, Func<object?, Argument> argument, Func<int> tokenCountOfEmptyText)
    {
        switch (prompt)
        {
            case string text: destination.Prompts.Add(text); break;
            case IEnumerable<string?> texts: destination.Prompts.AddRange(texts.Select(TextOrThrow)); break;
            case ValueTuple<string, string> pair: AddPairs([pair]); break;
            case IEnumerable<(string, string)> pairs: AddPairs(pairs); break;
            case TensorData tensor: destination.Ids = argument(tensor); break;
            case Value value: destination.Ids = argument(value); break;
            case TokenInput tokens:
                object ids = Combine(null, tokens.InputIds, tokens.AttentionMask, tokens.TokenTypeIds, tokens.DecoderInputIds)!;
                WriteTo(ids, destination, argument, tokenCountOfEmptyText);
                return;
            case EncodedInput encoded:
                if (encoded.DecoderIds is not null) destination.DecoderIds = argument(ToIds(encoded.DecoderIds));
                if (encoded.Mask is null && encoded.TypeIds is null)
                {
                    WriteTo(encoded.Input, destination, argument, tokenCountOfEmptyText);
                    return;
                }
                destination.Ids = argument(ToIds(encoded.Input));
                if (encoded.Mask is not null) destination.AttentionMask = argument(ToIds(encoded.Mask));
                if (encoded.TypeIds is not null) destination.TokenTypeIds = argument(ToIds(encoded.TypeIds));
                break;
            case IDictionary map: WriteTo(FromDictionary(map), destination, argument, tokenCountOfEmptyText); return;
            case var _ when ToRows(prompt) is { } rows:
                destination.Tokens.AddRange(rows.Select(row => new TokenRow { Ids = { row } }));
                break;
            case var _ when LocalRuntime.TryGet()?.ToTensorData(prompt) is { } data:
                destination.Ids = argument(data);
                break;
            default:
                throw new ArgumentException(
                    "A model's prompt is a text, several texts, a pair of texts, chat messages, token ids, a tensor of ids, a TokenInput "
                        + $"or a dictionary of `{string.Join("`, `", _keys)}`; not {DescribePrompt(prompt)}.");
        }
        bool isEmpty = destination.Prompts.Count == 0 && destination.Ids is null && destination.Tokens.All(row => row.Ids.Count == 0);
        bool hasEmptyText = destination.Prompts.Any(string.IsNullOrEmpty) && destination.Pairs.All(string.IsNullOrEmpty);
        if (isEmpty || (hasEmptyText && tokenCountOfEmptyText() == 0))
            throw Errors.CreateException(ErrorCode.BadInput, "The input has no tokens.",
                "Pass a prompt that is not empty, or at least one token id.");

        void AddPairs(IEnumerable<(string First, string Second)> pairs)
        {
            foreach (var (first, second) in pairs)
            {
                destination.Prompts.Add(TextOrThrow(first));
                destination.Pairs.Add(TextOrThrow(second));
            }
        }
    }

    private static string TextOrThrow(string? text) => text ?? throw new ArgumentException("A text of a prompt is null.");

    private static string DescribePrompt(object prompt) => prompt is IEnumerable list
        ? $"a list of {string.Join(" and ", list.Cast<object?>().Select(item => item?.GetType().Name ?? "null").Distinct().Take(3))}"
        : prompt.GetType().Name;

    /// <summary>One or several rows of token ids; null if the object is something else.</summary>
    private static long[][]? ToRows(object ids) => ids switch
    {
        IEnumerable<int> row => [[.. row.Select(id => (long)id)]],
        IEnumerable<long> row => [[.. row]],
        IEnumerable<IEnumerable<int>> rows => [.. rows.Select(row => (long[])[.. row.Select(id => (long)id)])],
        IEnumerable<IEnumerable<long>> rows => [.. rows.Select(row => row.ToArray())],
        _ => null,
    };

    /// <summary>The ids as the argument of a node: a deferred value, or a tensor [batch, seq].</summary>
    private static object ToIds(object ids)
    {
        if (ids is TensorData or Value) return ids;
        if (ToRows(ids) is { } rows)
            return rows.All(row => row.Length == rows[0].Length) && rows.Length > 0
                ? TensorData.FromArray(rows.SelectMany(row => row).ToArray(), rows.Length, rows[0].Length)
                : throw new ArgumentException("Rows of token ids that come with a mask, and those of a decoder, must be of one length.");
        return LocalRuntime.TryGet()?.ToTensorData(ids)
            ?? throw new ArgumentException($"Token ids and masks are numbers, rows of numbers or a tensor; not {ids.GetType().Name}.");
    }

    private static object FromDictionary(IDictionary map)
    {
        foreach (object key in map.Keys)
        {
            if (!_keys.Contains(key))
            {
                string suggestion = Errors.DidYouMean($"{key}", _keys);
                throw new ArgumentException(
                    $"A model has no input `{key}`; it takes `{string.Join("`, `", _keys)}`. {suggestion}".TrimEnd());
            }
        }
        return Combine(null, map[InputIds] ?? throw new ArgumentException($"The input has no `{InputIds}`."),
            map[AttentionMask], map[TokenTypeIds], map[DecoderInputIds])!;
    }

    private sealed record EncodedInput(object Input, object? Mask, object? TypeIds, object? DecoderIds);
}
