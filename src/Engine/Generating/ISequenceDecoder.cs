namespace Ndif.Engine.Generating;

/// <summary>Continues one row of the input: as one row of the batch, or as several beams.</summary>
/// <remarks>
/// In each step the engine calls <see cref="SelectTokens(Span{float}, int, Action)"/>, or sets the most likely tokens, and then
/// <see cref="CommitTokens"/>.
/// </remarks>
internal interface ISequenceDecoder
{
    /// <summary>The number of rows of the batch.</summary>
    int RowCount { get; }

    /// <summary>False if the most likely token of each row is sufficient.</summary>
    bool NeedsScores { get; }

    /// <summary>True at the end; the rows can stay in the batch while others continue.</summary>
    bool HasEnded { get; }

    /// <summary>The tokens of the next pass, one for each row. They can be replaced before they are committed.</summary>
    long[] NextTokens { get; }

    /// <summary>For each row, the row that it continues. It differs from the row itself only for beams.</summary>
    IReadOnlyList<int> SourceRows { get; }

    /// <summary>The new tokens of the sequences that are returned.</summary>
    IReadOnlyList<IReadOnlyList<long>> Sequences { get; }

    /// <summary>Chooses the next tokens.</summary>
    /// <param name="scores">[batch, vocab]; overwritten.</param>
    /// <param name="betweenParts">Called between two parts of a long selection; it may throw.</param>
    void SelectTokens(Span<float> scores, int vocabSize, Action? betweenParts = null);

    /// <summary>Appends the chosen tokens to the row.</summary>
    void CommitTokens();
}
