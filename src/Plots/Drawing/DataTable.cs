using System.Text;

namespace Ndif.Drawing;

/// <summary>The numbers of a picture, one value a row: as CSV, and as the HTML table below the picture.</summary>
/// <param name="Columns">The names of the columns.</param>
/// <param name="Count">The number of rows.</param>
/// <param name="Row">The cells of a row, by its number.</param>
internal sealed record DataTable(string[] Columns, long Count, Func<long, string[]> Row)
{
    /// <summary>A longer table is of no use to a reader of the page; the CSV has all of it.</summary>
    private const int RowsInHtml = 500;

    public string ToCsv()
    {
        var text = new StringBuilder();
        AppendLine(text, Columns);
        for (long i = 0; i < Count; i++) AppendLine(text, Row(i));
        return text.ToString();
    }

    public string ToHtml()
    {
        var html = new StringBuilder("<details><summary>Values</summary><div class=\"scroll\" tabindex=\"0\" role=\"group\" ");
        html.Append("aria-label=\"Values\"><table><thead><tr>");
        foreach (string column in Columns) html.Append($"<th scope=\"col\">{Markup.Escape(column)}</th>");
        html.Append("</tr></thead><tbody>");
        for (long i = 0; i < Math.Min(Count, RowsInHtml); i++)
        {
            html.Append("<tr>");
            foreach (string cell in Row(i)) html.Append($"<td>{Markup.Escape(cell)}</td>");
            html.Append("</tr>\n");
        }
        html.Append("</tbody></table>");
        if (Count > RowsInHtml) html.Append($"<p>These are the first {RowsInHtml} of {Count} values; the CSV has all of them.</p>");
        return html.Append("</div></details>").ToString();
    }

    private static void AppendLine(StringBuilder text, string[] cells)
    {
        for (int i = 0; i < cells.Length; i++)
        {
            if (i > 0) text.Append(',');
            bool quoted = cells[i].AsSpan().IndexOfAny(",\"\r\n") >= 0;
            text.Append(quoted ? $"\"{cells[i].Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : cells[i]);
        }
        text.Append('\n');
    }
}
