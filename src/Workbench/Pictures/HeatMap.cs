namespace Ndif.Workbench.Pictures;

/// <summary>A cell of a heat map.</summary>
/// <param name="Value">The number that its color shows, from -1 to 1.</param>
/// <param name="Text">What the cell shows beside its color; may be empty.</param>
/// <param name="Detail">What the page shows under the map when the cell is selected, one line for each fact.</param>
public sealed record HeatMapCell(double Value, string Text, string Detail);

/// <summary>
/// A table of numbers that the page draws in colors, also while they arrive. <see cref="Figure"/> is the same picture as a file.
/// </summary>
/// <param name="Title">What the numbers are.</param>
/// <param name="Corner">What rows and columns are: "layer", "from \\ to".</param>
/// <param name="Rows">The names of the rows.</param>
/// <param name="Columns">The names of the columns.</param>
/// <param name="Cells">The cells [row, column]; null for one that is not known yet.</param>
public sealed record HeatMap(
    string Title, string Corner, IReadOnlyList<string> Rows, IReadOnlyList<string> Columns, HeatMapCell?[,] Cells)
{
    /// <summary>The number of rows in which every cell is known.</summary>
    public int KnownRows => Enumerable.Range(0, Rows.Count)
        .Count(row => Enumerable.Range(0, Columns.Count).All(column => Cells[row, column] is not null));
}
