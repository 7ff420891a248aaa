using Ndif.Drawing;

namespace Ndif;

public static partial class Plots
{
    /// <summary>Attention patterns: for each head, how much each token (row) attends to each earlier one (column).</summary>
    /// <param name="pattern">
    /// Probabilities or scores, for example <c>layer.AttentionProbabilities.Save()</c>. [heads, seq, kvSeq], or [seq, kvSeq] for one head;
    /// dimensions of size 1 in front do not matter
    /// </param>
    /// <param name="tokens">The tokens that are attended to; null for their positions. [kvSeq]</param>
    /// <param name="queries">The tokens that attend; null for the last ones of <paramref name="tokens"/>. [seq]</param>
    /// <param name="heads">The names of the heads; null for <c>head 0</c> and so on. [heads]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="range">The numbers at the ends of the colours; null for 0 and the largest.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many tokens or names.</exception>
    public static Figure Attention(
        PlotValues pattern, IReadOnlyList<string>? tokens = null, IReadOnlyList<string>? queries = null,
        IReadOnlyList<string>? heads = null, string title = "Attention patterns", (double Min, double Max)? range = null)
    {
        const string Shape = "[heads, seq, kvSeq]";
        PlotValues values = pattern.Shape.Length == 2 ? pattern.As(2, "An attention pattern", Shape) : pattern.As(3, "An attention pattern", Shape);
        int headCount = values.Shape.Length == 2 ? 1 : values.Shape[0], rows = values.Shape[^2], columns = values.Shape[^1];
        if (queries is null && tokens is not null && rows <= tokens.Count) queries = [.. tokens.Skip(tokens.Count - rows)];
        string[] keyLabels = LabelsFor(tokens, columns, "keys"), queryLabels = LabelsFor(queries, rows, "queries");
        string[] headNames = heads is null ? [.. Enumerable.Range(0, headCount).Select(h => $"head {h}")] : LabelsFor(heads, headCount, "heads");
        (double min, double max) = ColorAxis.FiniteRange(values.Elements);
        ColorAxis colors = ColorAxis.For(values.Elements, ColorScale.Auto, range ?? (Math.Min(0, min), max));
        string PlaceOf(long i) => $"{headNames[i / columns / rows]}, {queryLabels[i / columns % rows]} → {keyLabels[i % columns]}";

        string description = $"Attention of {headCount} {(headCount == 1 ? "head" : "heads")} from {rows} tokens (rows) to {columns} (columns). "
            + Summarize(values, i => PlaceOf(i));
        var table = new DataTable(["head", "query", "query token", "key", "key token", "value"], values.Elements.Length, i =>
            [headNames[i / columns / rows], $"{i / columns % rows}", queries?[(int)(i / columns % rows)] ?? "", $"{i % columns}",
                tokens?[(int)(i % columns)] ?? "", values.ToText(values.Elements[i])]);
        return new Figure(title, description, Draw, table);

        string Draw()
        {
            double cell = CellSize(headCount == 1 ? 560 : 230, Math.Max(rows, columns), most: headCount == 1 ? 28 : 22);
            CellGrid[] panels = [.. Enumerable.Range(0, headCount).Select(head => new CellGrid
            {
                Values = values.Elements.AsMemory(head * rows * columns, rows * columns),
                Colors = colors,
                Rows = queryLabels,
                Columns = keyLabels,
                CellWidth = cell,
                CellHeight = cell,
                IsImage = values.Elements.Length > CellGrid.MostElements,
                Tooltip = (row, column) => (((head * rows) + row) * columns) + column is var i
                    ? $"{PlaceOf(i)}: {Markup.Number(values.Elements[i], 6)}" : "",
            })];
            const double Name = 20, Gap = 16;
            double panelWidth = panels[0].Width + Gap, panelHeight = Name + panels[0].Height + Gap;
            int across = Math.Clamp((int)((PageWidth - ColorBar.Width) / panelWidth), 1, headCount);
            across = (int)Math.Ceiling(headCount / Math.Ceiling(headCount / (double)across)); // rows of equal length
            var canvas = new SvgCanvas();
            double top = DrawTitle(canvas, title);
            for (int head = 0; head < headCount; head++)
            {
                double x = Margin + (head % across * panelWidth), y = top + (head / across * panelHeight);
                canvas.Text(x + panels[head].Left, y + 14, headNames[head]);
                panels[head].Draw(canvas, x, y + Name);
            }
            double right = Margin + (across * panelWidth) + 4;
            ColorBar.Draw(canvas, colors, right, top + Name, Math.Max(64, panels[0].CellsHeight), "");
            double bottom = top + (Math.Ceiling(headCount / (double)across) * panelHeight);
            canvas.Text(Margin, bottom + 4, $"Rows are queries, columns are keys. {NoteOn(values.Elements)}", isMuted: true);
            return Finish(canvas, right + ColorBar.Width, bottom + 18, title, description);
        }
    }
}
