using System.Globalization;
using System.Text;

namespace Ndif.Workbench.Pictures;

/// <summary>A cell of a heat map.</summary>
/// <param name="Value">The number that its color shows.</param>
/// <param name="Text">What the cell shows beside its color; may be empty.</param>
/// <param name="Detail">What the page shows under the map when the cell is selected, one line for each fact.</param>
public sealed record HeatMapCell(double Value, string Text, string Detail);

/// <summary>A table of numbers that is drawn in colors.</summary>
/// <param name="Title">What the numbers are.</param>
/// <param name="Corner">What rows and columns are: "layer \ token".</param>
/// <param name="Rows">The names of the rows.</param>
/// <param name="Columns">The names of the columns.</param>
/// <param name="Cells">The cells [row, column]; null for one that is not known yet.</param>
public sealed record HeatMap(
    string Title, string Corner, IReadOnlyList<string> Rows, IReadOnlyList<string> Columns, HeatMapCell?[,] Cells)
{
    /// <summary>The number of rows in which every cell is known.</summary>
    public int KnownRows => Enumerable.Range(0, Rows.Count)
        .Count(row => Enumerable.Range(0, Columns.Count).All(column => Cells[row, column] is not null));

    /// <summary>The numbers as CSV (RFC 4180), the names in the first row and column; an unknown cell is empty.</summary>
    public string ToCsv()
    {
        var csv = new StringBuilder();
        csv.AppendJoin(',', Columns.Prepend(Corner).Select(Quote)).Append("\r\n");
        for (int row = 0; row < Rows.Count; row++)
        {
            IEnumerable<string> numbers = Enumerable.Range(0, Columns.Count)
                .Select(column => Cells[row, column]?.Value.ToString("R", CultureInfo.InvariantCulture) ?? "");
            csv.AppendJoin(',', numbers.Prepend(Quote(Rows[row]))).Append("\r\n");
        }
        return csv.ToString();
    }

    /// <summary>A field in quotes. One that a spreadsheet would take for a formula begins with an apostrophe.</summary>
    private static string Quote(string text)
    {
        string safe = text.Length > 0 && "=+-@\t\r".Contains(text[0], StringComparison.Ordinal) ? $"'{text}" : text;
        return $"\"{safe.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
    }
}
