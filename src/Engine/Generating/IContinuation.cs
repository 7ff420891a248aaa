namespace Ndif.Engine.Generating;

/// <summary>How one row of the input goes on: as one row of the batch, or as several beams of it.</summary>
/// <remarks>In each step: <see cref="Choose(Span{float}, int)"/> (or the likeliest tokens are given), then <see cref="Take"/>.</remarks>
internal interface IContinuation
{
    /// <summary>Rows of the batch.</summary>
    int Rows { get; }

    /// <summary>False if the likeliest token of each row is all it needs.</summary>
    bool NeedsScores { get; }

    /// <summary>True if nothing more comes; its rows may stay in the batch while others go on.</summary>
    bool HasEnded { get; }

    /// <summary>The tokens of the next pass, one for each row. May be replaced before they are taken.</summary>
    long[] Next { get; }

    /// <summary>Which of its rows each row goes on from: not itself only among beams.</summary>
    IReadOnlyList<int> From { get; }

    /// <summary>The new tokens of the sequences that come back.</summary>
    IReadOnlyList<IReadOnlyList<long>> Results { get; }

    /// <summary>Chooses the next tokens.</summary>
    /// <param name="scores">[rows, vocabulary]; overwritten.</param>
    void Choose(Span<float> scores, int vocabulary);

    /// <summary>Takes the chosen tokens.</summary>
    void Take();
}
