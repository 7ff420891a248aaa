namespace Ndif.Engine.Generating;

/// <summary>How one row of the input goes on: as one row of the batch, or as several beams of it.</summary>
/// <remarks>In each step: <see cref="SelectTokens(Span{float}, int)"/> (or the likeliest tokens are given), then <see cref="CommitTokens"/>.</remarks>
internal interface ISequenceDecoder
{
    /// <summary>Rows of the batch.</summary>
    int RowCount { get; }

    /// <summary>False if the likeliest token of each row is all it needs.</summary>
    bool NeedsScores { get; }

    /// <summary>True if nothing more comes; its rows may stay in the batch while others go on.</summary>
    bool HasEnded { get; }

    /// <summary>The tokens of the next pass, one for each row. May be replaced before they are taken.</summary>
    long[] NextTokens { get; }

    /// <summary>Which of its rows each row goes on from: not itself only among beams.</summary>
    IReadOnlyList<int> SourceRows { get; }

    /// <summary>The new tokens of the sequences that come back.</summary>
    IReadOnlyList<IReadOnlyList<long>> Sequences { get; }

    /// <summary>Chooses the next tokens.</summary>
    /// <param name="scores">[batch, vocab]; overwritten.</param>
    void SelectTokens(Span<float> scores, int vocabSize);

    /// <summary>Takes the chosen tokens.</summary>
    void CommitTokens();
}
