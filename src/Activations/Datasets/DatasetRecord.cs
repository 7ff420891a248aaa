namespace Ndif.Activations;

/// <summary>A place between two records.</summary>
/// <param name="Text">The number of records before it.</param>
/// <param name="Offset">Its offset in bytes in a file of lines or of CSV; 0 for other datasets.</param>
internal readonly record struct DatasetPosition(long Text, long Offset);

/// <summary>A record of a dataset: a text or token ids.</summary>
internal sealed record DatasetRecord
{
    public DatasetRecord(string text) => Text = text;

    public DatasetRecord(int[] tokens) => (Text, Tokens) = ("", tokens);

    public string Text { get; }

    /// <summary>The token ids of a dataset of tokens; else null.</summary>
    public int[]? Tokens { get; }

    /// <summary>Whether the text was repaired: it was not valid UTF-8.</summary>
    public bool IsInvalid { get; init; }

    /// <summary>The position after the record.</summary>
    public DatasetPosition Next { get; init; }
}
