using Ndif.Tokenizers;

namespace Ndif;

/// <summary>Decodes the token ids that a trace returns: tensors and saved values.</summary>
public static class TokenizerExtensions
{
    /// <summary>The text of all ids of a tensor, in row-major order.</summary>
    public static string Decode(this HuggingFaceTokenizer tokenizer, TensorData ids, bool skipSpecialTokens = false) =>
        tokenizer.Decode(ids.ToArray<int>(), skipSpecialTokens);

    /// <inheritdoc cref="Decode(HuggingFaceTokenizer, TensorData, bool)"/>
    public static string Decode(this HuggingFaceTokenizer tokenizer, Saved ids, bool skipSpecialTokens = false) =>
        tokenizer.Decode(ids.Tensor, skipSpecialTokens);

    /// <summary>The text of each value, as Hugging Face's <c>batch_decode</c>.</summary>
    public static IReadOnlyList<string> BatchDecode(
        this HuggingFaceTokenizer tokenizer, IEnumerable<Saved> ids, bool skipSpecialTokens = false) =>
        [.. ids.Select(i => tokenizer.Decode(i, skipSpecialTokens))];
}
