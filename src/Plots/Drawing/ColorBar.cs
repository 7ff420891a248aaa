namespace Ndif.Drawing;

/// <summary>The legend of a <see cref="ColorAxis"/>: a bar with numbers.</summary>
internal static class ColorBar
{
    /// <summary>The width of a vertical bar with its numbers, and the length of a horizontal one.</summary>
    public const double Width = 78, Length = 200;

    private const double Thickness = 14;

    private const int Steps = 48;

    /// <summary>Draws the bar with its lower end below, so that its upper left corner is at a point.</summary>
    /// <param name="name">What the numbers are; may be empty.</param>
    public static void Draw(SvgCanvas canvas, ColorAxis colors, double x, double y, double height, string name)
    {
        canvas.Add("<g shape-rendering=\"crispEdges\">");
        for (int i = 0; i < Steps; i++)
            canvas.Rectangle(x, y + (height * i / Steps), Thickness, (height / Steps) + 0.5,
                colors.Map.At(1 - ((i + 0.5) / Steps)).ToString());
        canvas.Add("</g>");
        foreach (double tick in ColorAxis.Ticks(colors.Min, colors.Max, height < 90 ? 2 : 5))
        {
            double at = y + (height * (1 - colors.PositionOf(tick)));
            canvas.Line(x + Thickness, at, x + Thickness + 4, at);
            canvas.Text(x + Thickness + 7, at + 4, Markup.Number(tick));
        }
        if (name.Length > 0) canvas.Text(x, y - 7, name, isMuted: true);
    }

    /// <summary>Draws the bar with its lower end on the left and the name above, so that the left end of the bar is at a point.</summary>
    public static void DrawHorizontally(SvgCanvas canvas, ColorAxis colors, double x, double y, string name)
    {
        canvas.Add("<g shape-rendering=\"crispEdges\">");
        for (int i = 0; i < Steps; i++)
            canvas.Rectangle(x + (Length * i / Steps), y, (Length / Steps) + 0.5, Thickness, colors.Map.At((i + 0.5) / Steps).ToString());
        canvas.Add("</g>");
        foreach (double tick in ColorAxis.Ticks(colors.Min, colors.Max, 3))
        {
            double at = x + (Length * colors.PositionOf(tick));
            canvas.Line(at, y + Thickness, at, y + Thickness + 4);
            canvas.Text(at, y + Thickness + 17, Markup.Number(tick), at < x + 10 ? "start" : "middle");
        }
        canvas.Text(x, y - 5, name, isMuted: true);
    }
}
