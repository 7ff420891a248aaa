namespace Ndif.Tokenizers;

/// <summary>A text as tokens, with the place in the text that each stands for. All lists have the same length.</summary>
/// <param name="Ids">The ids.</param>
/// <param name="Tokens">The tokens as the vocabulary writes them, such as <c>ĠParis</c> or <c>▁Paris</c>.</param>
/// <param name="Offsets">
/// Start and end in the text in Unicode code points, as Hugging Face counts (<c>offset_mapping</c>);
/// (0, 0) for a special token that is not in the text.
/// </param>
/// <param name="Ranges">The same in UTF-16 units, so that <c>text[range]</c> is what the token stands for.</param>
public sealed record EncodedText(
    IReadOnlyList<int> Ids,
    IReadOnlyList<string> Tokens,
    IReadOnlyList<(int Start, int End)> Offsets,
    IReadOnlyList<Range> Ranges);
