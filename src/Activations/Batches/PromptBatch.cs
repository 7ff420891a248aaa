namespace Ndif.Activations;

/// <summary>The tokens of a text of the dataset.</summary>
/// <param name="Text">The number of the text.</param>
internal sealed record TokenizedText(long Text, int[] Tokens);

/// <summary>Texts that go through the model together.</summary>
/// <param name="Texts">The texts, shorter ones first.</param>
/// <param name="FirstPosition">The first position of each text that becomes a row: 0, or 1 without the first token.</param>
/// <param name="Rows">The number of rows.</param>
/// <param name="Next">The place after the batch.</param>
/// <param name="Fraction">The part of the dataset up to the end of the batch.</param>
internal sealed record PromptBatch(
    IReadOnlyList<TokenizedText> Texts, int FirstPosition, int Rows, CollectCursor Next, double Fraction)
{
    /// <summary>The length of the padded batch.</summary>
    public int Length => Texts[^1].Tokens.Length;

    /// <summary>Whether the rows are all tokens of the padded batch, in order.</summary>
    public bool IsDense => Rows == Texts.Count * Length;

    /// <summary>
    /// The index in <see cref="Texts"/> and the position of each row: the texts in order, and in each the positions in order. A limit of
    /// rows can end it before the last token.
    /// </summary>
    public IEnumerable<(int Text, int Position)> EnumerateRows() => Texts
        .SelectMany((text, i) => Enumerable.Range(FirstPosition, text.Tokens.Length - FirstPosition).Select(position => (i, position)))
        .Take(Rows);
}
