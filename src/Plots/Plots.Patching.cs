using Ndif.Drawing;
using Ndif.Protocol;

namespace Ndif;

public static partial class Plots
{
    /// <summary>
    /// The result of patching (Meng et al., 2022; Wang et al., 2022): what the run gives with one place replaced, for each layer and
    /// position. With the two runs without a patch, the colour is the part that the patch restores: 0 as corrupted, 1 as clean.
    /// </summary>
    /// <param name="values">The metric of each patched run, for example a grid <c>Saved[layers, positions]</c>. [rows, columns]</param>
    /// <param name="tokens">The tokens of the corrupted prompt; null for their positions. [columns]</param>
    /// <param name="clean">The metric of the clean run.</param>
    /// <param name="corrupted">The metric of the corrupted run.</param>
    /// <param name="rows">The names of the rows; null for numbers of layers. [rows]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="rowName">What the rows are: layers, heads.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many tokens or names.</exception>
    /// <exception cref="BadProgramException">
    /// BAD_ARGUMENT: only one of <paramref name="clean"/> and <paramref name="corrupted"/> is given, or they are equal.
    /// </exception>
    public static Figure Patching(
        PlotValues values, IReadOnlyList<string>? tokens = null, PlotValues? clean = null, PlotValues? corrupted = null,
        IReadOnlyList<string>? rows = null, string title = "Activation patching", string rowName = "layer")
    {
        values = values.As(2, "A patching result", "[rows, columns]");
        if (clean is null != corrupted is null)
            throw Errors.CreateException(ErrorCode.BadArgument, "The restored part needs both the clean and the corrupted metric.",
                "Give `clean` and `corrupted`, or neither to draw the values as they are.");
        bool isRestored = clean is not null;
        double to = clean?.As(0, "The clean metric", "[]").Elements[0] ?? 1, from = corrupted?.As(0, "The corrupted metric", "[]").Elements[0] ?? 0;
        if (isRestored && !(Math.Abs(to - from) > 0))
            throw Errors.CreateException(ErrorCode.BadArgument,
                $"The clean and the corrupted metric are {Markup.Number(to)} and {Markup.Number(from)}, between which nothing can be restored.",
                "Choose prompts for which the metric differs.");
        double[] effects = [.. values.Elements.Select(value => (value - from) / (to - from))];
        int columns = values.Shape[1];
        string[] rowLabels = LabelsFor(rows, values.Shape[0], "rows"), columnLabels = LabelsFor(tokens, columns, "tokens");
        string PlaceOf(int i) => $"{NameOf(rowName, i / columns, rowLabels, rows is not null)}, position {i % columns}"
            + (tokens is null ? "" : $" {columnLabels[i % columns]}");

        (double min, double max) = ColorAxis.FiniteRange(effects);
        int strongest = Array.IndexOf(effects, max);
        string description = $"Patching of {values.Shape[0]} rows and {columns} positions. " + (strongest < 0 ? "No finite values."
            : $"The largest {(isRestored ? "restored part" : "value")} is {Markup.Number(max)} at {PlaceOf(strongest)}.");
        var grid = new CellGrid
        {
            Values = effects,
            Colors = ColorAxis.For(effects, ColorScale.Diverging, isRestored ? (Math.Min(-1, min), Math.Max(1, max)) : null),
            Rows = rowLabels,
            Columns = columnLabels,
            CellWidth = CellSize(PageWidth - 220, columns, most: 46),
            CellHeight = CellSize(560, values.Shape[0], most: 28),
            RowName = rowName,
            ColumnName = "patched position",
            Marked = strongest < 0 ? [] : [(strongest / columns, strongest % columns)],
            Tooltip = (row, column) => (row * columns) + column is var i ? $"{PlaceOf(i)}: {Markup.Number(effects[i], 6)}"
                + (isRestored ? $" restored\nmetric {Markup.Number(values.Elements[i], 6)}" : "") : "",
        };
        string[] header = [rowName, "position", "token", "value", .. isRestored ? ["restored"] : Array.Empty<string>()];
        var table = new DataTable(header, effects.Length, i =>
            [rowLabels[i / columns], $"{i % columns}", tokens?[(int)(i % columns)] ?? "", values.ToText(values.Elements[i]),
                .. isRestored ? [PlotValues.ToRoundTrip(effects[i])] : Array.Empty<string>()]);
        string note = NoteOn(effects);
        return new Figure(title, description, () => DrawGrid(grid, title, description, isRestored ? "restored" : "", note), table);
    }
}
