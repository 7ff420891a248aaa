using System.Text;

namespace Ndif.Drawing;

/// <summary>
/// Coloured cells in rows and columns with labels on two sides: the body of heat maps, attention patterns and logit lenses. Many cells are
/// drawn as pixels of an image (<see cref="PngImage"/>).
/// </summary>
internal sealed class CellGrid
{
    /// <summary>
    /// With more elements browsers become slow and files large (100 bytes each). A larger grid is an image without values on hover.
    /// </summary>
    public const int MostElements = 120_000;

    private const double LabelGap = 6, MostLabelWidth = 130;

    /// <summary>The numbers. [rows, columns]</summary>
    public required ReadOnlyMemory<double> Values { get; init; }

    public required ColorAxis Colors { get; init; }

    /// <summary>The labels of the rows, already visible text; the first row is on top.</summary>
    public required string[] Rows { get; init; }

    public required string[] Columns { get; init; }

    public required double CellWidth { get; init; }

    public required double CellHeight { get; init; }

    /// <summary>What is shown over a cell, by row and column.</summary>
    public required Func<int, int, string> Tooltip { get; init; }

    /// <summary>The text in a cell; null for none.</summary>
    public Func<int, int, string>? CellText { get; init; }

    public string RowName { get; init; } = "";

    public string ColumnName { get; init; } = "";

    /// <summary>True to draw an image.</summary>
    public bool IsImage { get; init; }

    /// <summary>Cells with a frame.</summary>
    public IReadOnlyList<(int Row, int Column)> Marked { get; init; } = [];

    /// <summary>Where the cells begin: right of the labels of the rows.</summary>
    public double Left => Math.Max(
        (RowName.Length > 0 ? 20 : 0) + LabelGap + Math.Min(MostLabelWidth, Rows.Max(r => Label.Width(r, SvgCanvas.FontSize))),
        IsRotated ? (Math.Min(MostLabelWidth, Label.Width(Columns[0], SvgCanvas.FontSize)) * Sine) - (CellWidth / 2) + LabelGap : 0);

    public double Width => Left + CellsWidth;

    /// <summary>The height of the cells and of the labels below.</summary>
    public double Height => CellsHeight + LabelsHeight + (ColumnName.Length > 0 ? 20 : 0);

    public double CellsHeight => CellHeight * Rows.Length;

    private double CellsWidth => CellWidth * Columns.Length;

    private static double Sine => Math.Sqrt(0.5);

    private double WidestColumn => Math.Min(MostLabelWidth, Columns.Max(c => Label.Width(c, SvgCanvas.FontSize)));

    private bool IsRotated => WidestColumn > CellWidth * Step(CellWidth, WidestColumn + 4, Columns.Length, most: 2) - 4;

    private double LabelsHeight => LabelGap + (IsRotated ? (WidestColumn * Sine) + 12 : SvgCanvas.FontSize + 4);

    /// <summary>Draws the grid with its labels, so that the upper left corner of all of it is at a point.</summary>
    public void Draw(SvgCanvas canvas, double x, double y)
    {
        double left = x + Left;
        if (IsImage || Values.Length > MostElements) DrawImage(canvas, left, y);
        else DrawCells(canvas, left, y);
        foreach ((int row, int column) in Marked)
            canvas.Rectangle(left + (column * CellWidth), y + (row * CellHeight), CellWidth, CellHeight, "none",
                attributes: " class=\"mark\" stroke=\"#111\" stroke-width=\"2\" pointer-events=\"none\"");
        DrawRowLabels(canvas, x, left, y);
        DrawColumnLabels(canvas, left, y + CellsHeight);
    }

    private void DrawCells(SvgCanvas canvas, double left, double top)
    {
        ReadOnlySpan<double> values = Values.Span;
        canvas.Add("<g class=\"cells\" shape-rendering=\"crispEdges\">");
        for (int row = 0; row < Rows.Length; row++)
            for (int column = 0; column < Columns.Length; column++)
                canvas.Rectangle(left + (column * CellWidth), top + (row * CellHeight), CellWidth, CellHeight,
                    Colors.ColorOf(values[(row * Columns.Length) + column]).ToString(), Tooltip(row, column));
        canvas.Add("</g>");
        double size = Math.Min(SvgCanvas.FontSize, CellHeight - 4);
        for (int row = 0; row < Rows.Length && size >= 6; row++)
            for (int column = 0; column < Columns.Length; column++)
            {
                double value = values[(row * Columns.Length) + column];
                string text = CellText?.Invoke(row, column) ?? (double.IsFinite(value) ? "" : Symbol(value));
                if (text.Length == 0) continue;
                text = Label.Fit(text, CellWidth - 4, size);
                canvas.Add($"<text x=\"{Markup.Pixels(left + ((column + 0.5) * CellWidth))}\" "
                    + $"y=\"{Markup.Pixels(top + ((row + 0.5) * CellHeight) + (size * 0.35))}\" text-anchor=\"middle\" "
                    + $"font-size=\"{Markup.Pixels(size)}\" fill=\"{Colors.ColorOf(value).Ink}\" pointer-events=\"none\">"
                    + $"{Markup.Escape(text)}</text>");
            }
    }

    private static string Symbol(double value) => double.IsNaN(value) ? "×" : value > 0 ? "∞" : "−∞";

    private void DrawImage(SvgCanvas canvas, double left, double top)
    {
        string png = Convert.ToBase64String(PngImage.Encode(Columns.Length, Rows.Length, i => Colors.ColorOf(Values.Span[i])));
        canvas.Add($"<image x=\"{Markup.Pixels(left)}\" y=\"{Markup.Pixels(top)}\" width=\"{Markup.Pixels(CellsWidth)}\" "
            + $"height=\"{Markup.Pixels(CellsHeight)}\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" "
            + $"href=\"data:image/png;base64,{png}\"/>");
    }

    private void DrawRowLabels(SvgCanvas canvas, double x, double left, double top)
    {
        int step = Step(CellHeight, SvgCanvas.FontSize + 2, Rows.Length);
        for (int row = 0; row < Rows.Length; row += step)
            canvas.Text(left - LabelGap, top + ((row + 0.5) * CellHeight) + 4,
                Label.Fit(Rows[row], MostLabelWidth, SvgCanvas.FontSize), "end", tooltip: Rows[row]);
        if (RowName.Length > 0)
            canvas.Text(x + 12, top + (CellsHeight / 2), RowName, "middle", isMuted: true, rotate: -90);
    }

    private void DrawColumnLabels(SvgCanvas canvas, double left, double bottom)
    {
        int step = Step(CellWidth, IsRotated ? SvgCanvas.FontSize + 3 : WidestColumn + 4, Columns.Length);
        for (int column = 0; column < Columns.Length; column += step)
        {
            string text = Label.Fit(Columns[column], MostLabelWidth, SvgCanvas.FontSize);
            double center = left + ((column + 0.5) * CellWidth);
            if (IsRotated) canvas.Text(center + 4, bottom + LabelGap + 6, text, "end", rotate: -45, tooltip: Columns[column]);
            else canvas.Text(center, bottom + LabelGap + SvgCanvas.FontSize - 2, text, "middle", tooltip: Columns[column]);
        }
        if (ColumnName.Length > 0)
            canvas.Text(left + (CellsWidth / 2), bottom + LabelsHeight + 14, ColumnName, "middle", isMuted: true);
    }

    /// <summary>Every how many-th label is shown so that they do not overlap: 1, 2, 5, 10, 20 ...</summary>
    private static int Step(double pitch, double needed, int count, int most = int.MaxValue)
    {
        int step = 1;
        for (int i = 0; step * pitch < needed && step < Math.Min(count, most); i++) step = i % 3 == 1 ? step / 2 * 5 : step * 2;
        return Math.Min(step, most);
    }
}
