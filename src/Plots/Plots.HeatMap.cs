using Ndif.Drawing;

namespace Ndif;

public static partial class Plots
{
    /// <summary>A heat map: one cell for each layer (row) and token (column), with its value on hover.</summary>
    /// <param name="values">The numbers. [rows, columns], or [columns] for one row; dimensions of size 1 in front do not matter</param>
    /// <param name="tokens">The labels of the columns; null for their numbers. [columns]</param>
    /// <param name="rows">The labels of the rows; null for their numbers. [rows]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="rowName">What the rows are.</param>
    /// <param name="columnName">What the columns are.</param>
    /// <param name="valueName">What the numbers are, above the colours.</param>
    /// <param name="scale">How numbers become colours.</param>
    /// <param name="range">The numbers at the ends of the colours, for example to compare pictures; null for those of the values.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many tokens or names.</exception>
    public static Figure HeatMap(
        PlotValues values, IReadOnlyList<string>? tokens = null, IReadOnlyList<string>? rows = null, string title = "",
        string rowName = "layer", string columnName = "position", string valueName = "", ColorScale scale = ColorScale.Auto,
        (double Min, double Max)? range = null)
    {
        values = values.Shape.Length == 1 ? values.As(1, "A heat map", "[rows, columns]") : values.As(2, "A heat map", "[rows, columns]");
        int rowCount = values.Shape.Length == 1 ? 1 : values.Shape[0], columnCount = values.Shape[^1];
        string[] rowLabels = LabelsFor(rows, rowCount, "rows"), columnLabels = LabelsFor(tokens, columnCount, "columns");
        string PlaceOf(int row, int column) =>
            $"{NameOf(rowName, row, rowLabels, rows is not null)}, {columnName} {column}{(tokens is null ? "" : $" {columnLabels[column]}")}";

        string description = $"Heat map of {rowCount} rows and {columnCount} columns. "
            + Summarize(values, i => PlaceOf(i / columnCount, i % columnCount));
        var grid = new CellGrid
        {
            Values = values.Elements,
            Colors = ColorAxis.For(values.Elements, scale, range),
            Rows = rowLabels,
            Columns = columnLabels,
            CellWidth = CellSize(PageWidth - 220, columnCount, most: 52),
            CellHeight = CellSize(560, rowCount, most: 28),
            RowName = rowName,
            ColumnName = columnName,
            Tooltip = (row, column) => $"{PlaceOf(row, column)}: {Markup.Number(values.Elements[(row * columnCount) + column], 6)}",
        };
        var table = new DataTable([rowName, columnName, "token", "value"], values.Elements.Length, i => [rowLabels[i / columnCount],
            $"{i % columnCount}", tokens is null ? "" : tokens[(int)(i % columnCount)], values.ToText(values.Elements[i])]);
        return new Figure(title, description, () => DrawGrid(grid, title, description, valueName, NoteOn(values.Elements)), table);
    }

    /// <summary>A size of cells with which so many fill at most a length: whole pixels where that is possible.</summary>
    private static double CellSize(double length, int count, double most) =>
        length / count is var size && size >= most ? most : size >= 2 ? Math.Floor(size) : size;

    /// <summary>One grid with title, colours, and a note below.</summary>
    private static string DrawGrid(CellGrid grid, string title, string description, string valueName, string note)
    {
        var canvas = new SvgCanvas();
        double top = DrawTitle(canvas, title) + (valueName.Length > 0 ? 14 : 0);
        grid.Draw(canvas, Margin, top);
        double right = Margin + grid.Width + 18, barHeight = Math.Max(grid.CellsHeight, 64);
        ColorBar.Draw(canvas, grid.Colors, right, top, barHeight, valueName);
        double bottom = top + Math.Max(grid.Height, barHeight) + Margin;
        if (note.Length > 0) canvas.Text(Margin, bottom + 4, note, isMuted: true);
        double width = right + Math.Max(ColorBar.Width, Label.Width(valueName, SvgCanvas.FontSize));
        return Finish(canvas, width, bottom + (note.Length > 0 ? 16 : 0), title, description);
    }
}
