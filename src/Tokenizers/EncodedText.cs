namespace Ndif.Tokenizers;

/// <summary>The tokens of a text and the range of the text that each token covers. All lists have the same length.</summary>
/// <param name="Ids">The token ids.</param>
/// <param name="Tokens">The tokens as the vocabulary spells them, for example <c>ĠParis</c> or <c>▁Paris</c>.</param>
/// <param name="Offsets">
/// Start (inclusive) and end (exclusive) of each token in the text, in Unicode code points, as in Hugging Face's
/// <c>offset_mapping</c>. A special token that does not occur in the text has the offsets (0, 0).
/// </param>
/// <param name="Ranges">The same ranges in UTF-16 code units, so that <c>text[range]</c> is the text of a token.</param>
/// <remarks>The counterpart of <c>Encoding</c> in huggingface/tokenizers, <c>tokenizers/src/tokenizer/encoding.rs</c>.</remarks>
public sealed record EncodedText(
    IReadOnlyList<int> Ids,
    IReadOnlyList<string> Tokens,
    IReadOnlyList<(int Start, int End)> Offsets,
    IReadOnlyList<Range> Ranges);
