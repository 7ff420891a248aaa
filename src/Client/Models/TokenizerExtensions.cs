using Ndif.Tokenizers;

namespace Ndif;

/// <summary>Decoding what a trace gives: tensors and saved values of token ids.</summary>
public static class TokenizerExtensions
{
    /// <summary>The text of all ids of a tensor, in order.</summary>
    public static string Decode(this HuggingFaceTokenizer tokenizer, TensorData ids, bool skipSpecialTokens = false) =>
        tokenizer.Decode(ids.ToArray<int>(), skipSpecialTokens);

    /// <inheritdoc cref="Decode(HuggingFaceTokenizer, TensorData, bool)"/>
    public static string Decode(this HuggingFaceTokenizer tokenizer, Saved ids, bool skipSpecialTokens = false) =>
        tokenizer.Decode(ids.Tensor, skipSpecialTokens);

    /// <summary>The text of each.</summary>
    public static IReadOnlyList<string> BatchDecode(this HuggingFaceTokenizer tokenizer, IEnumerable<Saved> ids, bool skipSpecialTokens = false) =>
        [.. ids.Select(i => tokenizer.Decode(i, skipSpecialTokens))];
}
