namespace Ndif;

/// <summary>How far a collection is.</summary>
/// <param name="Rows">The number of rows that are computed, those of earlier runs included.</param>
/// <param name="Bytes">The size of the values of these rows.</param>
/// <param name="Fraction">The part of the work that is done: from 0 to 1.</param>
/// <param name="RowsPerSecond">The rate since the start of this run.</param>
/// <param name="Remaining">The time that is left at this rate; null while it is not known.</param>
public sealed record CollectProgress(long Rows, long Bytes, double Fraction, double RowsPerSecond, TimeSpan? Remaining);

/// <summary>What was collected.</summary>
/// <param name="Texts">The number of texts that were read.</param>
/// <param name="Rows">The number of rows, one for each token.</param>
/// <param name="EmptyTexts">Texts without tokens, which have no rows.</param>
/// <param name="TruncatedTexts">Texts of which only the first tokens were used.</param>
/// <param name="SkippedTexts">Texts that were left out because they are too long or not valid UTF-8.</param>
/// <param name="InvalidTexts">Texts that are not valid UTF-8, whether they were left out or repaired.</param>
/// <param name="Shards">The number of files.</param>
/// <param name="Bytes">The size of these files.</param>
/// <param name="ResumedRows">The number of rows that earlier runs had written.</param>
/// <param name="Overflows">
/// The number of elements that are infinite in float16, whose largest number is 65504, in what this run has written.
/// </param>
public sealed record CollectReport(
    long Texts, long Rows, long EmptyTexts, long TruncatedTexts, long SkippedTexts, long InvalidTexts, int Shards, long Bytes,
    long ResumedRows, long Overflows);
