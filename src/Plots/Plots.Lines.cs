using System.Globalization;
using System.Text;
using Ndif.Drawing;

namespace Ndif;

public static partial class Plots
{
    /// <summary>Above so many points they have no tooltips of their own; their lines have.</summary>
    private const int MostMarkers = 5000;

    /// <summary>Colours with a contrast of at least 3 to white and to black, from Okabe and Ito (2008) and ColorBrewer's Dark2.</summary>
    private static readonly string[] _lineColors = ["#0072b2", "#d55e00", "#009e73", "#a6761d", "#cc79a7", "#7570b3"];

    /// <summary>After all colours, the next lines are dashed.</summary>
    private static readonly string[] _lineDashes = ["", " stroke-dasharray=\"7 3\"", " stroke-dasharray=\"2 3\""];

    /// <summary>Lines over layers (or positions, or steps), with the value of each point on hover.</summary>
    /// <param name="values">The numbers. [layers], or [lines, layers]; dimensions of size 1 in front do not matter</param>
    /// <param name="names">The names of the lines; null for numbers, and none for one line. [lines]</param>
    /// <param name="labels">The labels of the points; null for their numbers. [layers]</param>
    /// <param name="title">The title; empty for none.</param>
    /// <param name="xName">What the points are.</param>
    /// <param name="yName">What the numbers are.</param>
    /// <exception cref="ShapeMismatchException">The values have other dimensions, or there are not as many names or labels.</exception>
    public static Figure Lines(
        PlotValues values, IReadOnlyList<string>? names = null, IReadOnlyList<string>? labels = null, string title = "",
        string xName = "layer", string yName = "value")
    {
        values = values.Shape.Length == 1 ? values.As(1, "A line plot", "[lines, layers]") : values.As(2, "A line plot", "[lines, layers]");
        int lineCount = values.Shape.Length == 1 ? 1 : values.Shape[0], pointCount = values.Shape[^1];
        string[] lineNames = LabelsFor(names, lineCount, "lines"), pointLabels = LabelsFor(labels, pointCount, "points");
        string PointName(int point) => NameOf(xName, point, pointLabels, labels is not null);
        string PlaceOf(int i) => (lineCount == 1 && names is null ? "" : $"{lineNames[i / pointCount]}, ") + PointName(i % pointCount);

        string description = $"{lineCount} {(lineCount == 1 ? "line" : "lines")} over {pointCount} points ({xName}). "
            + Summarize(values, PlaceOf);
        var table = new DataTable(["line", xName, "value"], values.Elements.Length,
            i => [lineNames[i / pointCount], pointLabels[i % pointCount], values.ToText(values.Elements[i])]);
        return new Figure(title, description, Draw, table);

        string Draw()
        {
            const double Height = 300;
            var canvas = new SvgCanvas();
            bool hasLegend = lineCount > 1 || names is not null;
            double top = DrawTitle(canvas, title) + 4, bottom = top + Height, left = Margin + 76, right = left + 560;
            (double min, double max) = ColorAxis.FiniteRange(values.Elements);
            if (min == max) (min, max) = (min - (min == 0 ? 1 : Math.Abs(min) / 2), max + (max == 0 ? 1 : Math.Abs(max) / 2));
            (min, max) = (min - (0.04 * (max - min)), max + (0.04 * (max - min)));
            double X(int point) => pointCount == 1 ? (left + right) / 2 : left + ((right - left) * point / (pointCount - 1));
            double Y(double value) => bottom - (Height * (value - min) / (max - min));

            foreach (double tick in ColorAxis.Ticks(min, max))
            {
                canvas.Line(left, Y(tick), right, Y(tick), isGrid: true);
                canvas.Text(left - 8, Y(tick) + 4, Markup.Number(tick), "end");
            }
            canvas.Line(left, bottom, right, bottom);
            double widest = Math.Min(90, pointLabels.Max(l => Label.Width(l, SvgCanvas.FontSize)));
            int step = Math.Max(1, (int)Math.Ceiling((widest + 8) / ((right - left) / pointCount)));
            for (int point = 0; point < pointCount; point += step)
            {
                canvas.Line(X(point), bottom, X(point), bottom + 4);
                string label = Label.Fit(pointLabels[point], 90, SvgCanvas.FontSize);
                canvas.Text(X(point), bottom + 18, label, "middle", tooltip: pointLabels[point]);
            }
            canvas.Text((left + right) / 2, bottom + 38, xName, "middle", isMuted: true);
            canvas.Text(Margin + 12, top + (Height / 2), yName, "middle", isMuted: true, rotate: -90);
            for (int line = 0; line < lineCount; line++) DrawLine(canvas, line, X, Y);
            double width = right + Margin + 6, height = bottom + 50;
            if (hasLegend)
            {
                for (int line = 0; line < lineCount; line++)
                {
                    double y = top + 8 + (20 * line);
                    canvas.Add($"<path d=\"M{Px(right + 18)} {Px(y)}h24\" fill=\"none\" stroke-width=\"2\"{Stroke(line)}/>");
                    canvas.Text(right + 48, y + 4, Label.Fit(lineNames[line], 160, SvgCanvas.FontSize), tooltip: lineNames[line]);
                }
                width = right + 58 + Math.Min(160, lineNames.Max(n => Label.Width(n, SvgCanvas.FontSize)));
                height = Math.Max(height, top + (20 * lineCount) + Margin);
            }
            string note = NoteOn(values.Elements);
            if (note.Length > 0) canvas.Text(left, height + 4, $"{note} They are gaps.", isMuted: true);
            return Finish(canvas, width, height + (note.Length > 0 ? 16 : 0), title, description);
        }

        void DrawLine(SvgCanvas canvas, int line, Func<int, double> x, Func<double, double> y)
        {
            var path = new StringBuilder();
            bool isDrawing = false;
            for (int point = 0; point < pointCount; point++)
            {
                double value = values.Elements[(line * pointCount) + point];
                if (double.IsFinite(value)) path.Append($"{(isDrawing ? 'L' : 'M')}{Px(x(point))} {Px(y(value))}");
                isDrawing = double.IsFinite(value);
            }
            canvas.Add($"<path d=\"{path}\" fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\"{Stroke(line)}>"
                + $"<title>{Markup.Escape(lineNames[line])}</title></path>");
            if (values.Elements.Length > MostMarkers) return;
            for (int point = 0; point < pointCount; point++)
            {
                double value = values.Elements[(line * pointCount) + point];
                if (!double.IsFinite(value)) continue;
                string tooltip = Markup.Escape($"{PlaceOf((line * pointCount) + point)}: {Markup.Number(value, 6)}");
                canvas.Add($"<circle cx=\"{Px(x(point))}\" cy=\"{Px(y(value))}\" r=\"3.5\" fill=\"{_lineColors[line % _lineColors.Length]}\">"
                    + $"<title>{tooltip}</title></circle>");
            }
        }
    }

    private static string Stroke(int line) => $" stroke=\"{_lineColors[line % _lineColors.Length]}\""
        + _lineDashes[line / _lineColors.Length % _lineDashes.Length];

    private static string Px(double value) => Markup.Pixels(value);
}
